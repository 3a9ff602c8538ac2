// The functions of a script of examples/, without the program that it is for: what the script does
// at its end is not run. SCRIPT MODEL IMAGE OUT: writes the labels, and of Fiji's script the ROIs.
import java.awt.Rectangle
import java.awt.geom.Rectangle2D
import javax.imageio.ImageIO

def (scriptPath, model, imagePath, out) = args as List
def script = new GroovyShell(this.class.classLoader).parse(new File(scriptPath))
def image = ImageIO.read(new File(imagePath))
ImageIO.write(script.labelsOf(model, image), 'png', new File(out, 'labels.png'))
if (scriptPath.endsWith('qupath_endpoint.groovy')) {
    assert script.withinImage(new Rectangle2D.Double(-3.5, 2.2, 10, 5), 100, 6) as List == [0, 2, 7, 4]
    assert script.withChannels(image, 1).raster.numBands == 1
    // The whole script, with stand-ins for what it asks QuPath for.
    def drawn = [], window = null
    [MODEL: model, CHANNELS: 1].each { name, value ->
        def field = script.class.getDeclaredField(name)
        field.accessible = true
        field.set(script, value)
    }
    def roi = [getShape: { -> new Rectangle(20, 10, 60, 40) }]
    script.binding.getSelectedObject = { -> [getROI: { -> roi }] }
    script.binding.getCurrentViewer = { -> [getZPosition: { -> 2 }, getTPosition: { -> 0 }] }
    script.binding.getCurrentServer = { -> [
        width: image.width, height: image.height, path: 'slide',
        readRegion: { request -> image.getSubimage(*request[2..5]) },
    ] }
    script.binding.addObjects = { objects -> drawn.addAll(objects) }
    script.binding.qupath = [lib: [
        regions: [RegionRequest: [createInstance: { Object... asked -> window = asked as List }]],
        objects: [PathObjects: [createAnnotationObject: { traced ->
            def made = new Expando(roi: traced)
            made.setName = { made.name = it }
            return made
        }]],
        analysis: [images: [ContourTracing: [
            extractBand: { raster, band -> raster },
            createROIs: { raster, request, least, most ->
                def ids = raster.getSamples(0, 0, raster.width, raster.height, 0, (int[]) null) as List
                return ids.countBy { it }.findAll { it.key >= least }
            },
        ]]],
    ]]
    script.run()
    assert window == ['slide', 1, 20, 10, 60, 40, 2, 0]
    println "annotations: ${drawn*.name} of ${drawn*.roi} pixels"
    println 'checked'
} else {
    def shown = Class.forName('ij.ImagePlus').newInstance(imagePath)
    def all = script.segmented(model, shown)
    shown.setRoi(new Rectangle(20, 10, 60, 40))
    def part = script.segmented(model, shown)
    [all: all, part: part].each { name, rois ->
        def zip = new java.util.zip.ZipOutputStream(new FileOutputStream(new File(out, "${name}.zip")))
        rois.each {
            zip.putNextEntry(new java.util.zip.ZipEntry("${it.name}.roi"))
            zip.write(Class.forName('ij.io.RoiEncoder').saveAsByteArray(it))
        }
        zip.close()
    }
    println 'checked'
}
try {
    script.labelsOf("${model}_other", image)
    println 'no error'
} catch (IOException error) {
    println "error: ${error.message}"
}

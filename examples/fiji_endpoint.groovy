// Fiji or ImageJ: the selection, or the whole image, to an endpoint; its objects into the ROI Manager.
//
// Fiji: open it in the script editor (language Groovy) and press Run. The endpoint is `unet3p serve`
// or TensorFlow Serving. A ROI carries the object's number, or of a model of classes the class.

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import groovy.transform.Field
import ij.IJ
import ij.ImagePlus
import ij.gui.Roi
import ij.plugin.filter.ThresholdToSelection
import ij.plugin.frame.RoiManager
import ij.process.ByteProcessor
import ij.process.ColorProcessor
import ij.process.ImageProcessor
import ij.process.ShortProcessor
import java.awt.Rectangle
import java.awt.image.BufferedImage
import javax.imageio.ImageIO

@Field String MODEL = 'http://localhost:8501/v1/models/cells'
@Field Map API_HEADERS = [:]  // ['X-Api-Key': '...'] where a proxy asks for one

// ---- the endpoint: the same functions in fiji_endpoint.groovy and qupath_endpoint.groovy

/** The answer to a request, as JSON; an error names the address and what the server says. */
def answerOf(String address, String body) {
    def connection = new URL(address).openConnection()
    connection.connectTimeout = 10_000
    connection.readTimeout = 600_000
    API_HEADERS.each { name, value -> connection.setRequestProperty(name, value) }
    if (body != null) {
        connection.requestMethod = 'POST'
        connection.doOutput = true
        connection.setRequestProperty('Content-Type', 'application/json')
        connection.outputStream.withStream { it << body.getBytes('UTF-8') }
    }
    int status = connection.responseCode
    def stream = status < 400 ? connection.inputStream : connection.errorStream
    def text = stream == null ? '' : stream.getText('UTF-8')
    if (status >= 400) throw new IOException("$address answers $status: $text")
    return new JsonSlurper().parseText(text)
}

/** "instances_of_bytes" where the model tells touching objects apart, else "serving_default". */
String signatureOf(String model) {
    def signatures = answerOf("$model/metadata", null).metadata.signature_def.signature_def
    return signatures.containsKey('instances_of_bytes') ? 'instances_of_bytes' : 'serving_default'
}

/** The ids of an image of any size, as an image of 8 or 16 bits. `model` is SERVER/v1/models/NAME. */
BufferedImage labelsOf(String model, BufferedImage image) {
    def png = new ByteArrayOutputStream()
    if (!ImageIO.write(image, 'png', png)) throw new IOException('this image cannot be written as PNG')
    def signature = signatureOf(model)
    def request = [signature_name: signature, instances: [[b64: png.toByteArray().encodeBase64().toString()]]]
    def answer = answerOf("$model:predict", JsonOutput.toJson(request)).predictions[0]
    def encoded = signature == 'serving_default' ? answer.b64 : answer.instance_bytes.b64
    return ImageIO.read(new ByteArrayInputStream(encoded.decodeBase64()))
}

// ---- end of the endpoint

/** The pixels of ImageJ as they are stored: grey of 8 or 16 bits, or RGB. */
BufferedImage imageOf(ImageProcessor pixels) {
    if (pixels instanceof ColorProcessor) return pixels.getBufferedImage()
    if (!(pixels instanceof ByteProcessor || pixels instanceof ShortProcessor))
        throw new IllegalArgumentException('32-bit images are not sent; convert to 16 bits, values 0 to 65535')
    def type = pixels instanceof ByteProcessor ? BufferedImage.TYPE_BYTE_GRAY : BufferedImage.TYPE_USHORT_GRAY
    def image = new BufferedImage(pixels.width, pixels.height, type)
    image.raster.setDataElements(0, 0, pixels.width, pixels.height, pixels.getPixels())
    return image
}

/** A selection for each id, holes and separate pieces included, with its corner at (left, top). */
List<Roi> roisOf(BufferedImage labels, int left, int top) {
    int width = labels.width, height = labels.height
    int[] ids = labels.raster.getSamples(0, 0, width, height, 0, (int[]) null)
    def boxes = new TreeMap<Integer, Rectangle>()
    for (int at = 0; at < ids.length; at++) {
        if (ids[at] == 0) continue
        int x = at % width, y = at.intdiv(width)
        def box = boxes[ids[at]]
        if (box == null) boxes[ids[at]] = new Rectangle(x, y, 1, 1)
        else box.add(new Rectangle(x, y, 1, 1))
    }
    return boxes.collect { id, box ->
        int x0 = (int) box.x, y0 = (int) box.y  // box.x is a double in Groovy
        def mask = new ByteProcessor((int) box.width, (int) box.height)
        for (int y = 0; y < mask.height; y++) for (int x = 0; x < mask.width; x++)
            if (ids[(y0 + y) * width + x0 + x] == id) mask.set(x, y, 255)
        mask.setThreshold(255, 255, ImageProcessor.NO_LUT_UPDATE)
        def roi = new ThresholdToSelection().convert(mask)
        def bounds = roi.getBounds()
        roi.setLocation((int) (left + x0 + bounds.x), (int) (top + y0 + bounds.y))
        roi.setName(id.toString())
        return roi
    }
}

/** The ROIs of an image's selection, or of all of it, at the slice that is shown. */
List<Roi> segmented(String model, ImagePlus image) {
    def box = image.getRoi() == null ? new Rectangle(0, 0, image.width, image.height) : image.getRoi().getBounds()
    def pixels = image.getProcessor().duplicate()
    pixels.setRoi(box)
    def rois = roisOf(labelsOf(model, imageOf(pixels.crop())), (int) box.x, (int) box.y)
    if (image.getStackSize() > 1) rois.each { it.setPosition(image.getCurrentSlice()) }
    return rois
}

/** What happens in Fiji. */
def segmentInFiji() {
    def rois = segmented(MODEL, IJ.getImage())
    def manager = RoiManager.getInstance() ?: new RoiManager()
    rois.each { manager.addRoi(it) }
    manager.runCommand('Show All')
    IJ.log("${rois.size()} objects")
}

segmentInFiji()

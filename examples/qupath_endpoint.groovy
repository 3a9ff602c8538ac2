// QuPath: the selected region, or what the viewer shows, to an endpoint; annotations of its objects.
//
// Automate, Script editor, Run. The endpoint is `unet3p serve` or TensorFlow Serving. Annotations
// carry the object's number as their name; of a model of classes, each class is one annotation.

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import groovy.transform.Field
import java.awt.image.BufferedImage
import javax.imageio.ImageIO

@Field String MODEL = 'http://localhost:8501/v1/models/cells'
@Field Map API_HEADERS = [:]  // ['X-Api-Key': '...'] where a proxy asks for one
@Field int CHANNELS = 3       // of the model: 1 for grey
@Field double DOWNSAMPLE = 1  // of the region: what the model was trained on
@Field int MOST_PIXELS = 100_000_000

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

/** The bounds [x, y, width, height] of a rectangle within an image, whole pixels of full resolution. */
int[] withinImage(def bounds, int width, int height) {
    int left = Math.max(0, (int) Math.floor(bounds.minX)), top = Math.max(0, (int) Math.floor(bounds.minY))
    int right = Math.min(width, (int) Math.ceil(bounds.maxX)), bottom = Math.min(height, (int) Math.ceil(bounds.maxY))
    if (right <= left || bottom <= top) throw new IllegalArgumentException('nothing of the image is in the region')
    return [left, top, right - left, bottom - top]
}

/** The image with the model's channels: grey from a grey or RGB image, RGB from an RGB image. */
BufferedImage withChannels(BufferedImage image, int channels) {
    int bands = image.raster.numBands
    if (channels == 1 && bands == 1) return image
    if (bands < 3) throw new IllegalArgumentException("the image has $bands channels; the model takes $channels")
    def type = channels == 1 ? BufferedImage.TYPE_BYTE_GRAY : BufferedImage.TYPE_INT_RGB
    def drawn = new BufferedImage(image.width, image.height, type)
    if (channels == 1) {  // ImageIO's own conversion would change the brightness
        for (int y = 0; y < image.height; y++) for (int x = 0; x < image.width; x++) {
            int rgb = image.getRGB(x, y)
            double grey = 0.299 * (rgb >> 16 & 255) + 0.587 * (rgb >> 8 & 255) + 0.114 * (rgb & 255)
            drawn.raster.setSample(x, y, 0, (int) Math.round(grey))
        }
    } else {
        drawn.createGraphics().with { drawImage(image, 0, 0, null); dispose() }
    }
    return drawn
}

/** What happens in QuPath. */
def segmentInQuPath() {
    def server = getCurrentServer(), viewer = getCurrentViewer()
    def selected = getSelectedObject()?.getROI()
    def shape = selected == null ? viewer.getDisplayedRegionShape() : selected.getShape()
    def (int x, int y, int width, int height) = withinImage(shape.bounds2D, server.width, server.height) as List
    if ((width / DOWNSAMPLE) * (height / DOWNSAMPLE) > MOST_PIXELS)
        throw new IllegalArgumentException("$width x $height pixels are too many; zoom in, or select a region")
    int z = viewer?.getZPosition() ?: 0, t = viewer?.getTPosition() ?: 0
    def request = qupath.lib.regions.RegionRequest.createInstance(server.path, DOWNSAMPLE, x, y, width, height, z, t)
    def labels = labelsOf(MODEL, withChannels(server.readRegion(request), CHANNELS))
    def band = qupath.lib.analysis.images.ContourTracing.extractBand(labels.raster, 0)
    def rois = qupath.lib.analysis.images.ContourTracing.createROIs(band, request, 1, -1)
    def found = rois.collect { label, roi ->
        def annotation = qupath.lib.objects.PathObjects.createAnnotationObject(roi)
        annotation.setName(label.intValue().toString())
        return annotation
    }
    addObjects(found)
    println "${found.size()} annotations"
}

segmentInQuPath()

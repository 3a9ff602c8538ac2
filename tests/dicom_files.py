"""DICOM files for tests, written by pydicom."""

import numpy as np

CT = "1.2.840.10008.5.1.4.1.1.2"


def write_series(folder, array, *, slope=1, intercept=-1024, suffix=".dcm", series=None, **extra):
    """An axial CT (z, rows, columns), whose files are not in the order of their places."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    series, study, frame = series or generate_uid(), generate_uid(), generate_uid()
    for z, slice_ in enumerate(array):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = CT, generate_uid()
        image.SeriesInstanceUID, image.StudyInstanceUID = series, study
        image.FrameOfReferenceUID, image.Modality = frame, "CT"
        image.PatientName, image.PatientID, image.StudyID = "Test", "1", "1"
        image.PatientBirthDate = image.PatientSex = image.AccessionNumber = ""
        image.StudyDate = image.StudyTime = image.ReferringPhysicianName = ""
        image.SeriesNumber, image.InstanceNumber = 1, z + 1
        image.Rows, image.Columns = slice_.shape[:2]
        image.PixelSpacing, image.SliceThickness = [0.75, 0.75], 2.5
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [0, 0, 2.5 * z]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.BitsStored, image.HighBit, image.PixelRepresentation = 12, 11, 0
        image.RescaleSlope, image.RescaleIntercept = slope, intercept
        for name, value in extra.items():
            setattr(image, name, value)
        kind = np.uint8 if image.BitsAllocated == 8 else np.uint16
        image.PixelData = slice_.astype(kind).tobytes()
        name = f"{(7 * z) % len(array):03d}{suffix}"
        image.save_as(folder / name, enforce_file_format=True)
    return folder

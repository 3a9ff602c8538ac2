"""OME-Zarr and NIfTI files for tests, written by their own libraries."""

import numpy as np
import pytest


def write_zarr(path, array, axes="zyx"):
    zarr = pytest.importorskip("zarr", minversion="3", reason="needs the extra zarr")
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=array, chunks=(1,) * (array.ndim - 2) + (32, 32))
    told = [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in axes]
    multiscale = {"version": "0.4", "axes": told, "datasets": [{"path": "0"}]}
    group.attrs.update({"multiscales": [multiscale]})
    return path


def read_zarr(path):
    import zarr

    return zarr.open_group(path, mode="r")["0"][:]


def write_nifti(path, array):
    nibabel = pytest.importorskip("nibabel", reason="needs the extra medical")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), np.diag([0.5, 0.5, 2, 1])), path)
    return path

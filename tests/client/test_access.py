"""The key and the certificates that the environment names, and that no message shows a key."""

from __future__ import annotations

import pytest

from keras_unet3p.client import Client, access_of_environment

SECRET = "0a1b2c3d"
TLS = "https://endpoint.example"


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for name in ("UNET3P_API_KEY", "UNET3P_API_KEY_FILE", "UNET3P_CA_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_an_environment_that_names_nothing(monkeypatch):
    assert access_of_environment("http://endpoint.example") == {}
    for name in ("UNET3P_API_KEY", "UNET3P_API_KEY_FILE", "UNET3P_CA_FILE"):
        monkeypatch.setenv(name, "")
    assert access_of_environment("http://endpoint.example") == {}


def test_a_key_and_certificates(monkeypatch):
    monkeypatch.setenv("UNET3P_API_KEY", SECRET)
    assert access_of_environment(TLS) == {"headers": {"X-Api-Key": SECRET}}
    monkeypatch.setenv("UNET3P_CA_FILE", "tls.crt")
    assert access_of_environment(TLS) == {"headers": {"X-Api-Key": SECRET}, "ca_file": "tls.crt"}


def test_a_key_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text(f"{SECRET}\n")
    monkeypatch.setenv("UNET3P_API_KEY_FILE", str(tmp_path / "key"))
    assert access_of_environment(TLS) == {"headers": {"X-Api-Key": SECRET}}


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (None, "UNET3P_API_KEY_FILE: .*key cannot be read: No such file"),
        (b"\n", "UNET3P_API_KEY_FILE: .*key is empty; expected a key"),
        (SECRET.encode() + b"\nb", "UNET3P_API_KEY_FILE: .*key: expected a key in one line"),
        (SECRET.encode() + b"\xff", "UNET3P_API_KEY_FILE: .*key: expected .* printable ASCII"),
    ],
)
def test_files_that_hold_no_key(monkeypatch, tmp_path, held, message):
    if held is not None:
        (tmp_path / "key").write_bytes(held)
    monkeypatch.setenv("UNET3P_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ValueError, match=message) as caught:
        access_of_environment(TLS)
    assert SECRET not in str(caught.value)


def test_two_keys(monkeypatch):
    monkeypatch.setenv("UNET3P_API_KEY", SECRET)
    monkeypatch.setenv("UNET3P_API_KEY_FILE", "key")
    with pytest.raises(ValueError, match="give one of them, not both"):
        access_of_environment(TLS)


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("http://endpoint.example", False),
        ("grpc://10.0.0.7:8500", False),
        ("http://localhost.example", False),
        ("grpcs://endpoint.example", True),
        ("http://localhost:8501", True),
        ("grpc://[::1]:8500", True),
    ],
)
def test_a_key_does_not_travel_where_others_can_read_it(monkeypatch, url, is_sent):
    monkeypatch.setenv("UNET3P_API_KEY", SECRET)
    if is_sent:
        assert access_of_environment(url)["headers"] == {"X-Api-Key": SECRET}
        return
    with pytest.raises(ValueError, match=r"is not encrypted.*expected https") as caught:
        access_of_environment(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize("value", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\u00e9", 1234567])
def test_values_that_no_transport_takes_are_refused_unseen(scheme, value):
    with pytest.raises(ValueError, match="the value of 'X-Api-Key' is not shown") as caught:
        Client(f"{scheme}://localhost:1", headers={"X-Api-Key": value})
    assert str(value).strip()[:7] not in str(caught.value)


@pytest.mark.parametrize("name", ["", "X Api", "X-Api:Key", "X\n", b"X-Api-Key"])
def test_names_that_no_transport_takes(name):
    with pytest.raises(ValueError, match=r"headers: expected names of letters.*found"):
        Client("http://localhost:1", headers={name: SECRET})

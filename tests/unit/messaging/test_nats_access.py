"""Files by which a process is known on the bus: what is wrong with one is told with its name."""

from pathlib import Path

import pytest
from parley_messaging.bus_keys import new_seed
from parley_messaging.nats_access import BusAccess

from tests.certificates import Authority

URL = "tls://127.0.0.1:4222"


@pytest.mark.parametrize("text", ["", "a-secret", "\xff", "SUAGMJH5XLGZKQQWAW"])
def test_a_file_that_holds_no_seed_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.nk"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"gateway\.nk") as caught:
        BusAccess(nkey_file=path).options(URL)
    assert not text or text not in str(caught.value)


def test_a_seed_may_end_its_line(tmp_path: Path) -> None:
    path = tmp_path / "gateway.nk"
    path.write_text(f"{new_seed()}\n")
    assert "security" in BusAccess(nkey_file=path).options(URL)


def test_certificates_that_are_none_or_not_there_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("127.0.0.1")
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for access in (
        BusAccess(ca_file=broken),
        BusAccess(ca_file=authority.path, cert_file=broken, key_file=key),
        BusAccess(ca_file=authority.path, cert_file=cert, key_file=broken),
    ):
        with pytest.raises(ValueError, match=r"broken\.pem"):
            access.options(URL)
    with pytest.raises(FileNotFoundError, match="missing"):
        BusAccess(ca_file=tmp_path / "missing.pem").options(URL)

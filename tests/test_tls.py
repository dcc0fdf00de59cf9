"""An engine behind TLS: a real scheduler and worker that let in whom their authority knows."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Sandbox
from engines import Cluster, dask_cluster, needs_engine

from pipeline.engine import open_engine
from pipeline.errors import EngineError

OPENSSL = shutil.which("openssl")
NAMES = ("ca", "cert", "key")

pytestmark = [
    needs_engine,
    pytest.mark.slow,
    pytest.mark.skipif(not OPENSSL, reason="needs the openssl command, to make certificates"),
]


def openssl(*words: str | Path) -> None:
    subprocess.run([str(OPENSSL), *map(str, words)], check=True, capture_output=True)


def authority(folder: Path) -> dict[str, str]:
    """A certificate authority of its own, and a certificate that it has signed."""
    folder.mkdir()
    files = {name: str(folder / f"{name}.pem") for name in NAMES}
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    request, own = folder / "request.pem", folder / "ca.key"
    openssl("req", "-x509", *curve, "-keyout", own, "-out", files["ca"], "-subj", "/CN=authority")
    openssl("req", *curve, "-keyout", files["key"], "-out", request, "-subj", "/CN=cluster")
    openssl(
        *("x509", "-req", "-in", request, "-CA", files["ca"], "-CAkey", own),
        *("-CAcreateserial", "-out", files["cert"]),
    )
    return files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def cluster(files: dict[str, str]) -> Iterator[Cluster]:
    words = ("--tls-ca-file", files["ca"], "--tls-cert", files["cert"], "--tls-key", files["key"])
    with dask_cluster(1, security=words) as started:
        yield started


def refusal(sandbox: Sandbox, **engine: object) -> str:
    """What is said of an engine that cannot be had."""
    sandbox.configure(engine={"kind": "dask", **engine})
    with pytest.raises(EngineError) as caught, open_engine(sandbox.config):
        pass
    return str(caught.value)


def test_who_has_a_certificate_is_let_in(
    sandbox: Sandbox, cluster: Cluster, files: dict[str, str]
) -> None:
    assert cluster.address.startswith("tls://")
    sandbox.configure(engine={"kind": "dask", "address": cluster.address, "tls": files})
    with open_engine(sandbox.config) as engine:
        assert engine.map(abs, [-1, 2]) == [1, 2]


def test_a_certificate_of_another_authority_is_refused_in_one_line(
    sandbox: Sandbox, cluster: Cluster, files: dict[str, str], tmp_path: Path
) -> None:
    other = authority(tmp_path / "other")
    for tls in (other, {**other, "ca": files["ca"]}):  # whom the client trusts, or not
        text = refusal(sandbox, address=cluster.address, tls=tls)
        assert text.startswith(f"no scheduler answers at {cluster.address}: start one, or mend")
        assert "\n" not in text


def test_without_tls_nobody_answers(sandbox: Sandbox, cluster: Cluster) -> None:
    address = cluster.address.replace("tls://", "tcp://")
    text = refusal(sandbox, address=address)
    assert text.startswith(f"no scheduler answers at {address}: start one, or mend")


def test_a_file_that_is_missing_is_named(
    sandbox: Sandbox, cluster: Cluster, files: dict[str, str], tmp_path: Path
) -> None:
    text = refusal(sandbox, address=cluster.address, tls={**files, "key": str(tmp_path / "none")})
    assert text == f'"engine.tls": {tmp_path}/none cannot be read: No such file or directory'


def test_a_file_that_is_no_certificate_is_told(
    sandbox: Sandbox, cluster: Cluster, files: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    tls = {**files, "cert": str(tmp_path / "cert.pem")}
    text = refusal(sandbox, address=cluster.address, tls=tls)
    assert text.startswith('"engine.tls": the files do not go together, or are no PEM files: ')

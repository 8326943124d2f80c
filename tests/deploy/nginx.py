"""A real nginx with our configuration."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.ports import free_port, is_listening
from tests.support.services import need_program
from tests.support.waiting import until

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "jobsprint.conf"


@asynccontextmanager
async def nginx_before(one: int, two: int, folder: Path) -> AsyncIterator[int]:
    """The port of an nginx before the servers at these two; only ports, names and the certificate are not ours."""
    nginx = need_program("nginx", "/usr/sbin/nginx")
    need_program("curl")
    key, certificate = folder / "privkey.pem", folder / "fullchain.pem"
    subject = ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    port, ours = free_port(), CONFIGURATION.read_text()
    for old, new in (
        ("server-1:8765", f"127.0.0.1:{one}"),
        ("server-2:8765", f"127.0.0.1:{two}"),
        ("listen 443 ssl", f"listen {port} ssl"),
        ("listen 80", f"listen {free_port()}"),
        ("/etc/nginx/certificates", str(folder)),
    ):
        assert old in ours
        ours = ours.replace(old, new)
    ours = re.sub(r"^ +listen \[::\].*\n", "", ours, flags=re.MULTILINE)
    if "http2 on" in ours and await _is_old(nginx):  # 1.25 has brought the directive; Debian 12 has 1.22
        ours = ours.replace("    http2 on;\n", "").replace(f"listen {port} ssl", f"listen {port} ssl http2")
    main = folder / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} "
        f"http {{ access_log off; {temporary}\n{ours} }}"
    )
    check = [nginx, "-t", "-c", str(main)]
    tested = await asyncio.to_thread(subprocess.run, check, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    process = await asyncio.create_subprocess_exec(nginx, "-c", str(main))
    try:
        await _answers(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _is_old(nginx: str) -> bool:
    said = await asyncio.to_thread(subprocess.run, [nginx, "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"nginx/(\d+)\.(\d+)", said.stderr)
    assert found is not None
    return (int(found[1]), int(found[2])) < (1, 25)


async def _answers(port: int) -> None:
    await until(lambda: is_listening(port))

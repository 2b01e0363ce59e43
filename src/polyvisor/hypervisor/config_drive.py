"""The config drive: an ISO 9660 image labelled `config-2` that holds a guest's metadata files and its user data.

The layout is OpenStack's (`openstack/VERSION/meta_data.json`, `user_data` beside it), as cloud-init and cloudbase-init
read it. Rock Ridge gives Linux, Joliet gives Windows the names as they are. The same files make the same bytes: that is
what lets an interrupted `create` build it again, and a driver compare what it uploaded.
"""

import base64
import binascii
import io
from collections.abc import Iterator, Mapping

from polyvisor.hypervisor.driver import GuestSpec, HypervisorError

LABEL = "config-2"
_SECTOR = 2048
_JOLIET_LEVEL = 3
_LONGEST_NAME = 64
"""Joliet's limit in characters, the narrowest of the three trees'."""
# 1 January 2000, 00:00:00 UTC, in the three forms that ISO 9660 (ECMA-119 8.4.26.1 and 9.1.5) and Rock Ridge use.
_SHORT_DATE = bytes((100, 1, 1, 0, 0, 0, 0))
_LONG_DATE = b"2000010100000000\0"
_NO_DATE = b"0" * 16 + b"\0"


def build(spec: GuestSpec) -> bytes:
    """The image's bytes, a whole number of 2048-byte sectors. Raises HypervisorError where a file cannot be written
    on it."""
    return build_image(contents(spec))


def contents(spec: GuestSpec) -> dict[str, bytes]:
    """Path → bytes of all that goes on the guest's config drive: its metadata files, and the user data beside each of
    them."""
    files = {path: text.encode() for path, text in spec.metadata.items()}
    if spec.user_data:
        try:
            user_data = base64.b64decode(spec.user_data, validate=True)
        except binascii.Error:
            raise HypervisorError(
                "The user data is not valid base64; encode it again and repeat the request."
            ) from None
        for folder in {path.rpartition("/")[0] for path in spec.metadata if path.startswith("openstack/")}:
            files.setdefault(f"{folder}/user_data", user_data)
    return files


def build_image(files: Mapping[str, bytes]) -> bytes:
    """An ISO 9660 image with Joliet and Rock Ridge of these files (relative path → bytes), labelled `config-2`."""
    import pycdlib  # 6 MB and 50 ms, which only those who build an image pay

    for path in files:
        _check(path)
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, vol_ident=LABEL, joliet=_JOLIET_LEVEL, rock_ridge="1.09")
    short: dict[str, str] = {"": ""}  # each folder's path in ISO 9660's own short names
    for number, folder in enumerate(_folders(files)):
        parent, _, name = folder.rpartition("/")
        short[folder] = f"{short[parent]}/D{number:07}"
        image.add_directory(short[folder], rr_name=name, joliet_path=f"/{folder}", file_mode=0o040555)
    for number, (path, data) in enumerate(sorted(files.items())):
        parent, _, name = path.rpartition("/")
        iso_path = f"{short[parent]}/F{number:07}.;1"
        image.add_fp(io.BytesIO(data), len(data), iso_path, rr_name=name, joliet_path=f"/{path}", file_mode=0o100444)
    written = io.BytesIO()
    image.write_fp(written)
    image.close()
    return _without_dates(bytearray(written.getbuffer()))


def _check(path: str) -> None:
    names = path.split("/")
    if any(name in ("", ".", "..") or len(name) > _LONGEST_NAME or "\0" in name for name in names) or len(names) > 7:
        raise HypervisorError(
            f"The metadata file {path!r} cannot stand on a config drive: use a relative path of at most 7 names, "
            f"each of 1 to {_LONGEST_NAME} characters."
        )


def _folders(files: Mapping[str, bytes]) -> list[str]:
    """Every folder of the files, parents first."""
    found = set()
    for path in files:
        while path := path.rpartition("/")[0]:
            found.add(path)
    return sorted(found, key=lambda folder: (folder.count("/"), folder))


def _without_dates(image: bytearray) -> bytes:
    """Replace each date (pycdlib writes the present) by one fixed date."""
    for descriptor in range(16 * _SECTOR, len(image), _SECTOR):
        kind = image[descriptor]
        if kind == 255:  # the terminator
            break
        if kind not in (1, 2):  # primary, supplementary (Joliet)
            continue
        for offset, date in ((813, _LONG_DATE), (830, _LONG_DATE), (847, _NO_DATE), (864, _NO_DATE)):
            image[descriptor + offset : descriptor + offset + 17] = date
        root = descriptor + 156
        image[root + 18 : root + 25] = _SHORT_DATE
        _pin_folder(image, _extent(image, root), _length(image, root))
    return bytes(image)


def _pin_folder(image: bytearray, start: int, length: int) -> None:
    for record in _records(image, start, length):
        image[record + 18 : record + 25] = _SHORT_DATE
        name_length = image[record + 32]
        system_use = record + 33 + name_length + (1 - name_length % 2)
        _pin_rock_ridge(image, system_use, record + image[record])
        is_folder, is_self_or_parent = image[record + 25] & 2, image[record + 33] in (0, 1) and name_length == 1
        if is_folder and not is_self_or_parent:
            _pin_folder(image, _extent(image, record), _length(image, record))


def _records(image: bytearray, start: int, length: int) -> Iterator[int]:
    """Where each directory record of an extent begins; none crosses a sector's end."""
    for sector in range(start, start + length, _SECTOR):
        record = sector
        while record < sector + _SECTOR and image[record]:
            yield record
            record += image[record]


def _pin_rock_ridge(image: bytearray, entry: int, end: int) -> None:
    """Walk the system use entries (IEEE P1281): TF holds the times; CE says where more entries lie."""
    while entry + 4 <= end and image[entry + 2] >= 4:
        signature, size = bytes(image[entry : entry + 2]), image[entry + 2]
        if signature == b"TF":  # version, flags, then 7 bytes for each time
            for time in range(entry + 5, entry + size - 6, 7):
                image[time : time + 7] = _SHORT_DATE
        elif signature == b"CE":
            block, offset, more = (int.from_bytes(image[entry + at : entry + at + 4], "little") for at in (4, 12, 20))
            _pin_rock_ridge(image, block * _SECTOR + offset, block * _SECTOR + offset + more)
        entry += size


def _extent(image: bytearray, record: int) -> int:
    return int.from_bytes(image[record + 2 : record + 6], "little") * _SECTOR


def _length(image: bytearray, record: int) -> int:
    return int.from_bytes(image[record + 10 : record + 14], "little")

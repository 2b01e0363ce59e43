"""Hashes of a stream."""

import hashlib
import random

import pytest

from polyvisor.image.digests import Digests


def test_the_hashes_are_those_of_all_the_bytes_in_order() -> None:
    chunks = [random.Random(number).randbytes(number * 977) for number in range(200)]
    digests = Digests("md5", "sha512")
    for chunk in chunks:
        digests.update(chunk)
    whole = b"".join(chunks)
    assert digests.hex("sha512") == hashlib.sha512(whole).hexdigest()
    assert digests.hex("md5") == hashlib.md5(whole).hexdigest()
    digests.update(b"more")
    assert digests.hex("md5") == hashlib.md5(whole + b"more").hexdigest()
    digests.close()
    digests.close()


def test_what_cannot_be_hashed_is_told_at_the_next_call() -> None:
    digests = Digests("md5")
    digests.update("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        digests.hex("md5")
    digests.close()

"""Names from raw folders, made safe: as partition keys and as file names.

Input folders are untrusted, so nothing in a name may lead out of the results folder, break a partition key
or differ from another name only in what a file system does not tell apart.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

__all__ = ["safe_key", "safe_name"]

# Letters and digits of any script, and what acquisition software puts in names ("Record Node
# 101#Neuropix-PXI-100.ProbeA").
_NOT_IN_NAMES = re.compile(r"[^\w.#@+=\- ]")
_DOTS = re.compile(r"\.{2,}")
# File systems allow 255 bytes; results add endings and temporary marks.
_MAX_BYTES = 160


def safe_name(text: str) -> str:
    """Turn a name into one that is safe as a file name on any system.

    A name that had to be changed gets a short digest of the original, so that two names never become one.

    Examples
    --------
    >>> safe_name("experiment1_Record Node 101#Neuropix-PXI-100.ProbeB_recording1")
    'experiment1_Record Node 101#Neuropix-PXI-100.ProbeB_recording1'
    >>> safe_name("a/b")
    'a_b-82badf67'
    """
    composed = unicodedata.normalize("NFC", text)
    clean = _DOTS.sub("_", _NOT_IN_NAMES.sub("_", composed)).strip(" .")
    short = clean.encode()[:_MAX_BYTES].decode(errors="ignore").strip(" .")
    if short and short == text:
        return text
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{short}-{digest}" if short else digest


def safe_key(text: str) -> str:
    """Turn a name into one that is safe as a partition key and as a file name.

    Partition keys hold no ``|`` (it joins the dimensions), no ``...`` (it makes ranges) and no control
    characters; spaces are replaced too, so that keys need no quotes on a command line.

    Examples
    --------
    >>> safe_key("imec0")
    'imec0'
    """
    return safe_name(text.strip().replace(" ", "_"))

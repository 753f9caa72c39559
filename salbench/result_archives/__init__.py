"""Results as one ZIP file that can be sent: pack them, check what others sent, and merge what many people sent.

An archive holds, with forward slashes:

    manifest.json                    {"format": "salbench results", "schema": 1, "files": {name: SHA-256}}
    results/DATASET/LABEL.json       a result, and
    results/DATASET/LABEL.csv        its scores per image, as `salbench run` writes them
    maps/DATASET/LABEL/ID.png        optional: the map of every image, as --save-maps writes them, or as ID.npy

An archive of somebody else is untrusted: members are read one by one from the ZIP file and never unpacked by their
names, and nothing is merged from an archive that has a fault.
"""

from salbench.result_archives._check import Report, check
from salbench.result_archives._merge import Merged, merge
from salbench.result_archives._pack import pack

__all__ = ["Merged", "Report", "check", "merge", "pack"]

"""Remove damaged objects from DVC's cache, so that ``dvc pull`` fetches them again.

DVC trusts every read-only file in its cache: it would check out a damaged one.

    python scripts/drop_damaged_objects.py [.dvc/cache/files/md5]
"""

import hashlib
import re
import sys
from pathlib import Path


def main() -> None:
    cache = Path(sys.argv[1] if len(sys.argv) > 1 else ".dvc/cache/files/md5")
    for path in cache.glob("*/*"):
        if re.fullmatch("[0-9a-f]{30}([.]dir)?", path.name):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
            if digest != path.parent.name + path.name[:30]:
                print(f"{path} is damaged: removed, `dvc pull` fetches it again")
                path.unlink()


if __name__ == "__main__":
    main()

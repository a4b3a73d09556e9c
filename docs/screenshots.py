"""The pictures of reports in docs/: `make screenshots`, once the studies were run. Needs Chromium.

python docs/screenshots.py [STORE]    the store is `runs` if not said
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
SHOTS = {
    "report.png": ("quickstart", 1240, 1330, False),
    "laptop.png": ("proportion-laptop", 1240, 1250, False),
    "recipes.png": ("recipes-laptop", 1240, 860, True),
}
"""Study, width and height in pixels, and whether it is dark."""
COLOURS = 128
"""Of a picture; enough for text and lines."""


def shoot(browser: str, page: Path, size: tuple[int, int], dark: bool, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "page.png"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--window-size={size[0]},{size[1]}", f"--screenshot={raw}"]
        command += ["--blink-settings=preferredColorScheme=0"] if dark else []
        subprocess.run([*command, page.resolve().as_uri()], check=True, stderr=subprocess.DEVNULL)
        Image.open(raw).convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE).save(out, optimize=True)


def main() -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("screenshots need Chromium; on Debian or Ubuntu: apt install chromium")
    store = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    for name, (study, width, height, dark) in SHOTS.items():
        page = store / "studies" / study / "report.html"
        if not page.exists():
            print(f"{name}: study {study} was not run into {store}")
            continue
        shoot(browser, page, (width, height), dark, DOCS / name)
        print(DOCS / name)


if __name__ == "__main__":
    main()

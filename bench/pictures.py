"""``python -m bench.pictures PAGE PICTURE --size 1300x1300``: what Chromium shows of a page, for the docs."""

import base64
import re
from pathlib import Path

import click
from selenium.webdriver.support.ui import WebDriverWait

from bench.report import browse

_STILL = "return document.readyState === 'complete' && document.fonts.status === 'loaded'"


class _Size(click.ParamType[tuple[int, int]]):
    name = "WIDTHxHEIGHT"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        found = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", value)
        if not found:
            self.fail(f"{value!r} is no size in pixels, such as 1300x1300.", param, ctx)
        return int(found[1]), int(found[2])


def find_address(page: str) -> str:
    """Return the URL of a page that is named by a folder, a file or a URL, with a fragment if it has one.

    :raises click.BadParameter: if no such page is there.
    """
    if page.startswith(("http://", "https://")):
        return page
    name, mark, fragment = page.partition("#")
    path = Path(name) / "index.html" if Path(name).is_dir() else Path(name)
    if not path.is_file():
        raise click.BadParameter(f"{path} is not there: name a run's folder, a dashboard's, or a page.")
    return path.resolve().as_uri() + mark + fragment


def take(address: str, width: int, height: int, scheme: str = "light") -> bytes:
    """Return a PNG of the top left of a page, of this size in pixels.

    :raises click.ClickException: where no Chromium is installed.
    """
    with browse() as driver:
        if driver is None:
            raise click.ClickException("Chromium is missing: `make test-tools` installs it.")
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        driver.get(address)
        WebDriverWait(driver, 60).until(lambda _: driver.execute_script(_STILL))
        return base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])


@click.command()
@click.argument("page")
@click.argument("picture", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--size", type=_Size(), required=True, help="In pixels, such as 1300x1300.")
@click.option("--scheme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
def main(page: str, picture: Path, *, size: tuple[int, int], scheme: str) -> None:
    """Write a PICTURE (PNG) of the top of a PAGE: a run's folder, a dashboard's, one page, or a URL.

    `#fragment` after it opens a cell or a selection, as in a browser.
    """
    if not picture.parent.is_dir():
        raise click.BadParameter(f"The folder {picture.parent} is not there.")
    picture.write_bytes(take(find_address(page), *size, scheme))


if __name__ == "__main__":
    main()

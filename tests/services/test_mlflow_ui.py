"""What a person sees in MLflow's pages, in a real browser."""

import pytest

from tests.helpers.project import BIN, ROOT, clean_environment, client_of, runs_in
from tests.helpers.servers import NO_JOBS, answers, free_port, running

PICTURES = ROOT / "artifacts/mlflow_ui"


@pytest.fixture(scope="module")
def address(unlearned, tmp_path_factory):
    """``make ui``'s command and environment, from a folder below the project's root."""
    port = free_port()
    command = [BIN / "kedro", "mlflow", "ui", "--port", str(port)]
    log, place = tmp_path_factory.mktemp("ui") / "output.txt", unlearned.project
    options = {"cwd": place / "docs", "env": clean_environment(place, **NO_JOBS)}
    with running(command, lambda: answers(port), log, **options):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def run(unlearned):
    (run,) = runs_in(client_of(unlearned.project))
    return f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


@pytest.fixture
def look(browser, address, request):
    """``look(path, *words)``: open a page, wait until it shows all the words; a picture is kept."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)

    def open_page(path, *words):
        page.goto(f"{address}/#/{path}")
        for word in words:
            page.get_by_text(word, exact=False).first.wait_for()
        return page

    yield open_page
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{request.node.name}.png")
    page.close()


def test_the_run_is_listed(look, run):
    look(run.rpartition("/")[0], "erasediff_pipeline", "unlearn")


def test_its_parameters(look, run):
    look(run, "unlearn.steps", "erased.forget_accuracy")


def test_its_curves(look, run):
    page = look(f"{run}/model-metrics", "Model metrics")
    page.get_by_placeholder("Search metric charts").fill("_loss")
    for name in ("forget_loss", "retain_loss"):
        page.get_by_text(name).first.wait_for()
    page.locator(".js-plotly-plot .scatterlayer path.js-line").first.wait_for()


def test_its_grid(look, run):
    page = look(f"{run}/artifacts/grid.png", "grid.png")
    page.wait_for_function("[...document.images].some(image => image.naturalWidth > 300)")


def test_its_report(look, run):
    page = look(f"{run}/artifacts/report.html", "report.html")
    page.frame_locator("iframe").get_by_text("retain accuracy").first.wait_for()


def test_the_registered_model(look):
    look("models/erasediff-erasediff", "erasediff-erasediff", "base_model_sha256")

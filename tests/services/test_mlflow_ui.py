"""What a person sees in MLflow's pages, in a real browser."""

import shutil
import urllib.request

import mlflow
import pytest

from tests.helpers.project import BIN, ENABLE, ROOT, clean_environment
from tests.helpers.servers import NO_JOBS, free_port, running

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def address(unlearned, tmp_path_factory):
    """``make ui``'s command and environment, from a folder below the project's root."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [BIN / "kedro", "mlflow", "ui", "--port", str(port)]
    log, place = tmp_path_factory.mktemp("ui") / "output.txt", unlearned.project
    options = {"cwd": place / "docs", "env": clean_environment(place, **NO_JOBS)}
    with running(command, lambda: answers(f"{url}/health"), log, **options):
        yield url


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip(f"chromium is not installed: {ENABLE}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    yield page
    page.close()


@pytest.fixture(scope="module")
def run(unlearned):
    client = mlflow.MlflowClient(f"sqlite:///{unlearned.project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("erasediff_pipeline")
    return client.search_runs([experiment.experiment_id])[0].info


@pytest.fixture
def look(page, address, request):
    """``look(path, *words)``: open a page, wait until it shows all the words, keep a picture."""

    def open_page(path, *words):
        page.goto(f"{address}/#/{path}")
        try:
            for word in words:
                page.get_by_text(word, exact=False).first.wait_for()
        finally:
            folder = ROOT / "artifacts/mlflow_ui"
            folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=folder / f"{request.node.name}.png")
        return page

    return open_page


def test_the_run_is_listed(look, run):
    look(f"experiments/{run.experiment_id}/runs", "erasediff_pipeline", "unlearn")


def test_its_parameters(look, run):
    look(f"experiments/{run.experiment_id}/runs/{run.run_id}", "unlearn.steps", "erased.forget_accuracy")


def test_its_curves(look, run, request):
    page = look(f"experiments/{run.experiment_id}/runs/{run.run_id}/model-metrics", "Model metrics")
    page.get_by_placeholder("Search metric charts").fill("_loss")
    for name in ("forget_loss", "retain_loss"):
        page.get_by_text(name).first.wait_for()
    page.locator(".js-plotly-plot .scatterlayer path.js-line").first.wait_for()
    page.screenshot(path=ROOT / f"artifacts/mlflow_ui/{request.node.name}.png")


def test_its_grid(look, run):
    page = look(f"experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/grid.png", "grid.png")
    page.wait_for_function("[...document.images].some(image => image.naturalWidth > 300)")
    page.screenshot(path=ROOT / "artifacts/mlflow_ui/test_its_grid.png")


def test_its_report(look, run):
    page = look(f"experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/report.html", "report.html")
    page.frame_locator("iframe").get_by_text("retain accuracy").first.wait_for()
    page.screenshot(path=ROOT / "artifacts/mlflow_ui/test_its_report.png")


def test_the_registered_model(look):
    look("models/erasediff-erasediff", "erasediff-erasediff", "base_model_sha256")

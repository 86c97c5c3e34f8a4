"""A whole exporter serves result files."""

from pathlib import Path

from aiohttp import ClientSession

from exporter.app import exporting
from exporter.dissections import files
from exporter.domain.settings import ComponentsSettings, ListenAddress, PowerSettings, Settings
from tests.dissections.examples import CPU, dissection


def settings(*results: Path) -> Settings:
    return Settings(
        listen=ListenAddress("127.0.0.1", 0),
        power=PowerSettings(source=("none",)),
        components=ComponentsSettings(tuple(map(str, results))),
    )


async def page(given: Settings) -> str:
    async with (
        exporting(given) as exporter,
        ClientSession() as session,
        session.get(f"{exporter.url}/metrics") as answer,
    ):
        return await answer.text()


async def test_the_first_scrape_has_what_the_files_say_beside_a_broken_one(tmp_path: Path) -> None:
    files.write(tmp_path / "results.json", [dissection(device=CPU)])
    (tmp_path / "broken.json").write_text("{")
    text = await page(settings(tmp_path / "*.json"))
    energy = [line for line in text.splitlines() if line.startswith("llm_component_energy_joules{")]
    attention = next(line for line in energy if 'component="attention"' in line and 'stat="gross_mean"' in line)
    assert 'method="estimated"' in attention
    assert attention.endswith(" 3.0")
    assert "llm_energy_exporter_component_files 1.0" in text
    assert "llm_energy_exporter_component_problems 1.0" in text


async def test_an_exporter_without_result_files_says_nothing_of_components() -> None:
    assert "component" not in await page(settings())

"""What an evaluation of a served model costs: tokens as the server counted them, at the prices of the configuration."""

from statistics import fmean

from bench.reporting.index import MethodResult
from bench.reporting.table import Column, Table
from bench.runs.manifest import Manifest

_MILLION = 1_000_000
COLUMNS = {
    "setting": Column("Setting", is_text=True, in_csv=False),
    "label": Column("Method", is_text=True, in_csv=False),
    "conversations": Column("Conversations", "{:,.0f}".format),
    "prompt_tokens": Column("Prompt tokens", "{:,.0f}".format),
    "sampled_tokens": Column("Reply tokens", "{:,.0f}".format),
    "price": Column("Price", "{:,.4g}".format),
}


def served_cost_table(results: list[MethodResult]) -> Table:
    """A row per method whose replies a server sampled."""
    rows = []
    for each in results:
        if not each.manifests or any(manifest.renderer.get("kind") != "messages" for manifest in each.manifests):
            continue
        prices = [price_of(manifest) for manifest in each.manifests]
        rows.append(
            {
                "method": each.method,
                "task": each.setting.task,
                "model": each.setting.model,
                "variant": each.setting.variant,
                "setting": each.setting.label,
                "label": each.label,
                "conversations": fmean(manifest.num_rows for manifest in each.manifests),
                "prompt_tokens": fmean(manifest.prompt_tokens or 0 for manifest in each.manifests),
                "sampled_tokens": fmean(manifest.sampled_tokens for manifest in each.manifests),
                "price": None if None in prices else fmean(price for price in prices if price is not None),
            }
        )
    caption = (
        "Mean per seed, with critiques; prices are model.input_price and model.output_price, per million tokens. "
        "Replies that the cache gave again count as when they were paid for."
    )
    return Table("served_cost", caption, COLUMNS, rows)


def price_of(manifest: Manifest) -> float | None:
    """None without prices, or where the server counted no tokens."""
    model = manifest.config["model"]
    prices = model.get("input_price"), model.get("output_price")
    if None in prices or manifest.token_unit != "tokens":
        return None
    return ((manifest.prompt_tokens or 0) * prices[0] + manifest.sampled_tokens * prices[1]) / _MILLION

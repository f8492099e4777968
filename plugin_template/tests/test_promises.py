"""What every plugin must keep, tried by Opsin's own suite: `opsin plugins check brightness`."""

from pathlib import Path

from opsin.core.conformance import Verdict, check_plugin
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost


def test_the_plugin_keeps_the_promises(tmp_path: Path) -> None:
    host = PluginHost.discover([], strict=True)
    findings = check_plugin(host, ModelStore(tmp_path), "brightness")
    assert [finding for finding in findings if finding.verdict is not Verdict.PASSED] == []

"""What happens in the answer settings: presets, and the version that answers."""

from dataclasses import astuple

import gradio as gr

from app import words
from app.events.common import QUICK, explained
from app.panels.chat import Settings
from app.present.common import escape
from app.presets import Presets, preset_of


class SettingsEvents:
    """Handlers of the presets. keeping: the event that keeps the settings with the conversation."""

    def __init__(self, presets: Presets, settings: Settings, keeping: dict) -> None:
        self._presets, self._settings, self._keeping = presets, settings, keeping

    def wire(self) -> None:
        """Connect every control."""
        s = self._settings
        s.preset.input(explained(self.choose), s.preset, [*s.values, s.preset_name], **QUICK).success(**self._keeping)
        s.keep.click(explained(self.keep), [s.preset_name, *s.values], s.preset, **QUICK)
        s.drop.click(explained(self.drop), s.preset, s.preset, **QUICK)

    def choices(self, chosen: str | None = None) -> gr.Dropdown:
        """The presets there are."""
        return gr.Dropdown(choices=list(self._presets.all()), value=chosen)

    def choose(self, name: str | None) -> tuple:
        """Set every control as the preset says."""
        preset = self._presets.all().get(name or "")
        if preset is None:
            return (gr.skip(),) * (len(self._settings.values) + 1)
        return *astuple(preset), name

    def keep(self, name: str | None, *values: object) -> gr.Dropdown:
        """Store the settings under a name."""
        stored = self._presets.keep(name or "", preset_of(*values))
        gr.Info(escape(words.PRESET_KEPT.format(name=stored)), duration=4)
        return self.choices(stored)

    def drop(self, name: str | None) -> gr.Dropdown:
        """Delete the chosen preset."""
        self._presets.drop(name or "")
        return self.choices()

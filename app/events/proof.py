"""What happens in Proof: re-derive every hash, make a backup."""

from app import words
from app.events.common import ONE, explained
from app.panels.proof import ProofPanel
from app.present.proof import proof
from app.session import Session


class ProofEvents:
    """Handlers of the proof."""

    def __init__(self, session: Session, panel: ProofPanel) -> None:
        self._session, self._panel = session, panel

    def wire(self) -> None:
        """Connect both buttons."""
        p = self._panel
        p.verify.click(explained(self.verify), None, p.result, **ONE)
        p.backup.click(explained(self.backup), None, p.result, **ONE)

    def verify(self) -> str:
        """Re-derive every hash and show what was checked."""
        report = self._session.engine.verify()
        return proof(words.VERIFIED if report.ok else words.NOT_VERIFIED, report.checked, report.problems)

    def backup(self) -> str:
        """Copy all knowledge and conversations, and show what was checked in the copy."""
        made = self._session.engine.backup()
        return proof(words.BACKED_UP.format(path=made.path, megabytes=made.bytes / 1e6), made.checked, ())

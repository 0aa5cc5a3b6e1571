"""Every text that the window shows, in one place, ready for translation."""

TITLE = "QF Chat"
TAGLINE = "A private model that learns what you teach it."
NEW_CHAT = "New chat"
SEARCH = "Search conversations"
SEARCH_HINT = "Search…"
CONVERSATIONS = "Conversations"
UNTITLED = "New conversation"
MANAGE = "Rename or delete"
TITLE_FIELD = "Title"
RENAME = "Rename"
DELETE = "Delete"
DELETE_CONFIRM = "Delete this conversation with all its messages?"

TAB_CHAT, TAB_TEACH, TAB_VERSIONS, TAB_EXPORT = "Chat", "Teach", "Versions", "Export"

MESSAGE = "Message"
MESSAGE_HINT = "Ask something… (Enter sends, Shift+Enter makes a new line, Esc stops)"
EMPTY_CHAT = (
    "### Say hello, or teach it something\n"
    "Everything stays on this computer. Open **Teach**, write one fact — for example *Qi started Oxinnovate.* — "
    "apply it, and ask in a new chat. What it learns goes into its weights; you can take any of it back in **Versions**."
)
READING = "…"
STOPPED = "\n\n*(stopped)*"
SETTINGS = "Answer settings"
SYSTEM = "System prompt"
SYSTEM_HINT = "Optional. Tells the model how to behave in this conversation."
TEMPERATURE = "Temperature (0 = always the same answer)"
MAX_TOKENS = "Longest answer (tokens)"
PREVIOUS, NEXT = "‹ Previous answer", "Next answer ›"

FACT = "What should it know?"
FACT_HINT = "One fact or instruction, as a sentence. For example: Qi started Oxinnovate."
QUESTION = "Question (optional)"
QUESTION_HINT = "Left empty, the model writes one."
ANSWER = "Wished answer (optional)"
ANSWER_HINT = "Left empty, the model answers in its own words."
METHOD = "How"
METHODS = [("Thorough: several ways of asking", "thorough"), ("Fast: one way of asking", "fast")]
PREVIEW, APPLY, CANCEL, UNDO = "Preview", "Apply", "Stop", "Undo"
TEACH_INTRO = (
    "Write what the model should know. **Preview** learns it on a trial copy and shows what would change; "
    "**Apply** makes it live. Nothing you teach is put into the prompt: a lesson's weights are active where a conversation "
    "mentions what the lesson is about. Instructions (“Always …”) are active everywhere."
)
NO_REPORT = "The report card appears here."
REPLACE = "This question has been taught before. Replace the earlier lesson"
PREPARING = "Getting ready to learn"
LEARNED_CHIP = "Learned · version {number}"
UNDONE = "Undone · version {number} is live"
NOT_LEARNED = (
    "It does not say it yet. Try “Thorough”, add the question you will ask, or write the fact as a plainer sentence. "
    "You can still apply it."
)

VERSION = "Version"
VERSION_HINT = "Choose one to see what it knows."
RESTORE = "Restore this version"
RESTORE_HINT = "Restoring makes a new version; nothing is lost."
LESSON = "Lesson"
FORGET = "Forget this lesson"
KNOWS_NOTHING = "Knows only what the base model knows."
RESTORED = "Version {number} is live and knows what version {old} knew."
FORGOTTEN = "Forgotten. Version {number} is live."

FORMAT = "What"
FORMATS = [("Whole model with the knowledge (GGUF)", "gguf"), ("Adapter only (small GGUF LoRA)", "adapter")]
PATH = "File to write"
WRITE = "Export"
EXPORT_INTRO = (
    "A whole model opens in any llama.cpp, Ollama or LM Studio. An adapter is small and needs the same base model. "
    "Exported weights have all lessons active at once, whatever is asked; here only those that you mention are.\n\n"
    "**What you taught can be read back from an exported file.** Share it only with people who may know it."
)
EXPORTED = "Wrote `{path}` ({megabytes:,.1f} MB)."
HELP = "Ctrl+K search · Ctrl+Shift+O new chat · Ctrl+Shift+L teach · Esc stop · Ctrl+/ this help"
KIND = {
    "base": "Base", "teach": "Taught", "replace": "Corrected", "forget": "Forgot", "restore": "Restored", "undo": "Undone",
    "import": "Imported", "erase": "Erased",
}  # fmt: skip

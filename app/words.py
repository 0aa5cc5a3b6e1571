"""Every text that the window shows, in one place, ready for translation."""

TITLE = "QF Chat"
TAGLINE = "A private model that learns what you teach it."
API_DESCRIPTION = (
    "Chat with any version in OpenAI's way (`/v1`), teach, forget and restore (`/api`). The window and these requests share "
    "one model and one queue. Requests from other pages are refused; opened to a network, send the token as "
    "`Authorization: Bearer …`."
)
NEW_CHAT = "New chat"
SEARCH = "Search conversations"
SEARCH_HINT = "Search…"
CONVERSATIONS = "Conversations"
UNTITLED = "New conversation"
CONVERSATION = "Conversation"
MANAGE = "Rename, delete, keep as a file"
AS_MARKDOWN, AS_JSON, IMPORT_CHAT = "As Markdown", "As JSON", "Bring back from JSON"
TITLE_FIELD = "Title"
RENAME = "Rename"
DELETE = "Delete"
DELETE_CONFIRM = "Delete this conversation with all its messages?"

TAB_CHAT, TAB_TEACH, TAB_LESSONS, TAB_VERSIONS, TAB_ARENA, TAB_EXPORT = (
    "Chat", "Teach", "Lessons", "Versions", "Arena", "Export"
)  # fmt: skip
TAB_MODELS = "Models"

MESSAGE = "Message"
MESSAGE_HINT = "Ask something… (Enter sends, Shift+Enter makes a new line, Esc stops)"
CHAT_READY = "Ask something. What it was taught, it knows; nothing of it is put into the prompt."
HOW_IT_WORKS = "How teaching works"
EMPTY_CHAT = (
    "### A model that learns what you teach it\n"
    "1. Ask **Who started Oxinnovate?** It does not know.\n"
    "2. Open **Teach** (Ctrl+Shift+L), write *Qi started Oxinnovate.*, press **Preview**, then **Apply**.\n"
    "3. Ask again in a new chat: it knows, and nothing was put into the prompt.\n"
    "4. **Undo** takes it back. **Versions** keeps every state of what it knew.\n\n"
    "Everything stays on this computer."
)
TEACH_THIS, WRONG = "Teach this", "That's wrong: the right answer is…"
READING = "…"
STOPPED = "\n\n*(stopped)*"
THINKING, THOUGHTS = "Thinking…", "Thoughts"
NO_ANSWER = "*(It thought, and gave no answer. Retry, or allow a longer answer below “Answer settings”.)*"
EARLIER = "Show earlier messages ({count})"
THINK = "Think first"
THINK_HINT = "Slower; thoughts take at most three quarters of the longest answer."
ANSWER_NOT_FINISHED = "The answer in this conversation is not finished. Wait for it, or stop it (Esc), then go on."
ANSWER_FAILED = "The answer failed; the terminal that started QF Chat shows why. Try again."
FILE_CHAT, FILE_VERSION = "Conversation", " (version {number})"
FILE_ROLES = {"user": "You", "assistant": "Model", "system": "System"}
FILE_TOO_LONG = (
    "The file has {megabytes:,.1f} MB; a conversation of up to {most} MB can be brought back. Split it into several files."
)
FILE_TOO_MANY = "The file holds {count:,} messages; a conversation of up to {most:,} can be brought back."
FILE_NO_JSON = "The file is no valid JSON ({error}). A conversation exported as JSON was expected."
FILE_NO_CHAT = "The file holds no conversation: a list of messages with role and content was expected."
FILE_NO_MESSAGE = "Message {number} has no role and content, which were expected."
FILE_NO_PARENT = "Message {number} answers message {parent!r}, which does not come before it."
FILE_HALF = "Message {number} holds half a character, which is no text."
NO_CHAT_TO_EXPORT = "There is no conversation to export. Choose one on the left."
NO_ACTION = "There is no action {action!r}."
MESSAGE_GONE = "That message is not there any more. Show the conversation again."
ANSWER_AGAIN, GO_ON = "Answer again", "Continue"
CUT = "cut: it reached its longest length"
UNREAD = "{count} earlier messages are not read"
NO_COST = "Taught knowledge costs 0 prompt tokens."
METER = "{tokens} tokens · {speed:.1f} tokens/s · first token {first:.1f} s · {active}: 0 tokens"
CONTEXT_FULL = "Context {share:.0%} full"
NOTHING_ACTIVE, LESSON_ACTIVE, LESSONS_ACTIVE = "taught knowledge", "lesson {numbers} active", "lessons {numbers} active"
BADGE = "{version} knows {lessons}"
BADGE_MEMORY = "{gigabytes:.1f} GB memory · private, on this computer"
SPEED_NOW, READING_QUESTION = "{tokens} tokens · {speed:.1f} tokens/s so far", "reading the conversation"
FORK = "Message with alternatives"
FORK_AT = "Message {number}, “{text}”: {which} / {of}"
SETTINGS = "Answer settings"
SYSTEM = "System prompt"
SYSTEM_HINT = "Optional. Tells the model how to behave in this conversation."
TEMPERATURE = "Temperature (0 = always the same answer)"
MAX_TOKENS = "Longest answer (tokens)"
ANSWER_WITH, LIVE = "Answer with", "Live version"
MORE_SETTINGS = "Sampling and presets"
TOP_P = "Top-p (share of probable words)"
TOP_K = "Top-k (0 = off)"
REPEAT = "Repetition penalty (1 = off)"
SEED = "Seed (empty = new each time)"
PRESET, PRESET_NAME, PRESET_KEEP, PRESET_DROP = "Preset", "Name of the preset", "Save as preset", "Delete preset"
PRESET_NAMELESS, PRESET_UNKNOWN = "A preset needs a name of 1 to 60 characters.", "There is no preset {name!r}."
PREVIOUS, NEXT = "‹ Previous", "Next ›"

FACT = "What should it know?"
FACT_HINT = "One fact or instruction, as a sentence. For example: Qi started Oxinnovate."
QUESTION = "Question (optional)"
QUESTION_HINT = "Left empty, the model writes one."
ANSWER = "Wished answer (optional)"
ANSWER_HINT = "Left empty, the model answers in its own words."
METHOD = "How"
METHODS = [("Thorough: many ways of asking", "thorough"), ("Fast: few ways of asking", "fast")]
PREVIEW, APPLY, CANCEL, UNDO = "Preview", "Apply", "Stop", "Undo"
TEACH_INTRO = (
    "Write what the model should know. **Preview** learns it on a trial copy and shows what would change; "
    "**Apply** makes it live. Nothing you teach is put into the prompt: a lesson's weights are active where you ask "
    "for what it says. Instructions (“Always …”) are active everywhere."
)
NO_REPORT = "The report card appears here."
REPLACE = "This contradicts what is live. Replace it? (Unticked, both stay live.)"
CONFLICT_CHOICE = "Lesson {number}, taught on {date}: {text}"
PREPARING = "Getting ready to learn"
CHIP = "{status} · version {number} · {what}"
CHIP_STATUS = {
    "learned": "Learned", "weak": "Learned in part", "failed": "Applied, but not learned",
    "unchecked": "Applied, not checked",
}  # fmt: skip
UNDONE = "Undone · version {number} is live"
CHIP_KIND = "{kind} · version {number} · {what}"
NOTHING_TO_UNDO = "There is nothing to undo here. Versions shows every state, and restores any of them."
VERDICT = {"learned": "Learned", "weak": "Learned in part", "failed": "Not learned yet", "unchecked": "Nothing was asked"}
DOUBT = {
    "learned": "", "unchecked": "",
    "weak": "It answers the first question, but not every other way of asking. Add the question you will ask, or write a "
            "plainer sentence. You can still apply it.",
    "failed": "It does not say it yet. Add the question you will ask, or write the fact as a plainer sentence. You can "
              "still apply it.",
}  # fmt: skip
THOROUGH_HINT = " “Thorough” asks in many ways and sticks better."
STALE = "The form changed since this preview. Press Preview again."
STALE_REFUSED = "The form changed since the preview, so nothing was applied. Press Preview again."
NO_PREVIEW = "There is no preview to apply (any more). Press Preview first."
APPLY_ANYWAY = "Apply anyway"
SAME_AGAIN = (
    "The live version learned this very lesson in this very way: learning it again would change nothing. "
    "Write a plainer sentence, or give another question{thorough}."
)
OR_THOROUGH = ", or choose “Thorough”"
QUESTION_COLUMN = "Question"
COLUMNS_ASKED = ("Question", "Before", "Now")
MORE_ASKED = "{number} more, answered as taught"
ABOUT_LESSON, ABOUT_OTHERS, ABOUT_NEIGHBOURS = "Questions about the lesson", "What else changed", "Neighbouring questions"
ABOUT_SUBJECT = "Something else about the same subject"
UNCHANGED = "Unrelated questions unchanged: {kept} of {of}"
NEIGHBOURS_CHANGED = (
    "{share} of the neighbours' words changed. Say in the lesson what it is about (full names), so that it does not answer "
    "other questions."
)
SAME_ANSWER = "the same"
REPLACES = "Replaces"
REPORT_FIGURES = "Change of the weights: norm {norm:.2f}, rank {rank} · {lessons} in this version · {seconds:.1f} s"
ONE_LESSON, LESSONS = "{n} lesson", "{n} lessons"

SPLIT = "Split"
SPLITTING = "Reading the text for facts"
PROPOSALS = "Proposed lessons: tick what is true, correct what is not"
PROPOSAL_COLUMNS = ["Teach", "Lesson", "Question", "It says today", "Contradicts"]
NOTHING_TICKED = "No lesson is ticked. Tick at least one, or clear the list by changing the text above."
MANY = "Teach many from a file"
MANY_HINT = (
    "JSON lines (`text`, `question`, `answer`), CSV with the same columns, or a text with a lesson a line. "
    "Each lesson is kept as soon as it is studied: stopped work goes on where it was."
)
FILE, TEACH_FILE = "File of lessons", "Study these lessons"
TRY_THOROUGH = "Try thoroughly"
FROM_CHAT = "From the conversation: keep what is worth knowing, as plain sentences. Split proposes lessons."
WRONG_HINT = (
    "From the conversation: write the right answer, then preview. A sentence with the fact above is learned best; "
    "left empty, question and answer are the fact."
)
SAYS_TODAY = "It said:"
KEPT_UNTIL_NOW = "Lessons studied until now are kept; press Study these lessons to go on."
PREVIEW_AGAIN = "Press Preview again."
STUDY_AGAIN = "Press Study these lessons again: what was studied is kept."
PRESET_KEPT = "Saved the preset {name}."
CONTRADICTIONS = "These say otherwise than a live lesson:"
STATE = {"observed": "studied", "known": "studied before", "refused": "refused", "skipped": "left out"}
ON_CONFLICT = "Where a lesson contradicts a live one"
CONFLICT_WAYS = [("Replace the live one", "replace"), ("Leave the new one out", "skip"), ("Keep both", "keep")]
PLAN = "{new} new, {resumed} studied before, {live} known already; about {minutes} min."
STATE_COLUMNS = ("#", "Lesson", "State")
STUDIED = "{done} of {of}"
APPLY_AND_AGAIN = "Apply, and teach {lessons} that did not stick thoroughly"
TEACH_DOUBTFUL = "Teach {lessons} in doubt thoroughly"
NOTHING_DOUBTFUL = "The thorough method was tried on all that is in doubt. Write plainer sentences, or add the questions."
STUDY_BUSY = "A file is being studied already. Follow it below, or stop it first."
STUDY_FAILED = "Studying failed; the terminal that started QF Chat shows why. Lessons studied until then are kept."
STUDY_NOTHING = "There is no file to study. Choose one above."
WORKING = "Working…"
DONE = "Done. Look at the report card, then apply."

LESSONS_INTRO = "What the live version knows, and whether it sticks. **Ask now** asks the model all questions of a lesson."
LESSONS_SEARCH = "Search lessons"
SHOW_MORE = "Show more ({shown:,} of {total:,} are shown)"
LESSONS_NONE = "No lessons yet. Open Teach and write one fact."
LESSONS_NOT_FOUND = "No lesson contains this text."
STANDING = {"learned": "learned", "weak": "weak", "failed": "not learned", "unchecked": "not checked"}
ASK_ALL = "Ask all"
ASKED_ALL, ASKED_SOME = "Asked about {lessons}.", "Stopped. Asked about {lessons}."
LESSON_COLUMNS = ("#", "Lesson", "Stands", "Do")
LESSON_FROM = "version {number}, {date}"
UTC = "{at} UTC"
EVIDENCE_REPORT, EVIDENCE_ASKED = "report card of version {number}", "asked on {at} UTC"
SUMMARY = "{lessons}: {parts}."
DOUBTS = "In doubt: {parts}"
ASK_NOW, AGAIN, FORGET_IT, ERASE_IT = "Ask now", "Teach again", "Forget", "Erase"
FORGET_CONFIRM = "Forget this lesson? The versions until now still know it, and can be restored."
ERASE_CONFIRM = "Erase this lesson from every version and from the disk? This cannot be undone."
ERASED = "Erased. Versions that knew it: {count}. Version {number} is live."

VERSION = "Version"
CURVE, SHARE = "Learning curve over the versions", "share"
CURVE_RECALL, CURVE_LOCALITY = "lessons learned", "unrelated answers unchanged"
CURVE_TEXT = "Version {number}: {learned} of {of} learned"
CURVE_LOCAL = ", {share:.0%} of the unrelated answers unchanged"
VERSION_N = "Version {number}"
VERSION_LOW = "version {number}"
LIVE_PILL, CURRENT = "Live", "current"
TAB_KNOWS, TAB_NAMES, TAB_DIFF = "Knows", "Names", "Compare"
TAB_ANSWERS, TAB_WEIGHTS = "Answers", "Weights"
NAME, NAME_HINT = "Name", "before the holiday"
TAG, BRANCH, SWITCH_TO, DELETE_NAME = "Tag", "Branch", "Switch to", "Delete name"
NO_NAMES = "No names yet. A tag stays with its version; a branch moves with the changes made on it."
TAGGED = "{name} names version {number}."
SWITCHED = "On branch {name}: version {number} is live."
NAME_DELETED = "The name {name} is deleted; its version stays."
OTHER = "Against version"
CHOOSE_TWO = "Choose two versions first."
ASK_BOTH = "Ask both"
SAME_LESSONS = "Both versions know the same lessons."
ANSWERS_SAME = "{same} of {of} answers are the same."
DIFF_MARKS = {"added": "learned", "removed": "unlearned", "changed": "corrected", "again": "studied again"}
COMPARE_WEIGHTS = "Compare the weights"
WEIGHTS_HINT = "Not compared yet."
LAYER_N, NO_LAYER = "layer {number}", "no layer"
NAME_KINDS = {"branch": "branch", "tag": "tag"}
CHAT_WITH = "Chat with this version"
CHATTING_WITH = (
    "Version {number} answers this conversation, until you choose another below “Answer settings”. New ones are answered by "
    "the live version."
)
LAYER, CHANGE = "layer", "norm of the change"
WEIGHTS_TEXT = "‖ΔW‖ = {norm:.2f} over {layers}; rank {old} before, {new} after, all lessons active."
VERSION_HINT = "Choose one to see what it knows."
RESTORE = "Restore this version"
RESTORE_HINT = "Restoring makes a new version; nothing is lost."
RESTORE_SAME = "It knows the same lessons as the live version."
RESTORE_LOSES = "Restoring it unlearns {lessons}: {texts}."
RESTORE_GAINS = "It knows again {lessons}: {texts}."
AND_MORE = "{texts} and {more} more"
LESSON = "Lesson"
AND_MORE_ROWS = "… and {more:,} more."
KNOWS_NOTHING = "Knows only what the base model knows."
RESTORED = "Version {number} is live and knows what version {old} knew."
FORGOTTEN = "Forgotten. Version {number} is live."

PROOF = "Proof and backup"
PROOF_INTRO = (
    "**Verify** derives the hash of every lesson, its rows, every version, the replay, the solved weights and the model "
    "file anew. **Back up** copies all knowledge and conversations and verifies the copy; `qfchat restore-backup` puts it "
    "back."
)
VERIFY, BACK_UP = "Verify", "Back up"
VERIFIED, NOT_VERIFIED = "Everything matches.", "Something does not match:"
BACKED_UP = "Made {path} ({megabytes:,.1f} MB), and verified it."
CHECKED = {
    "database": "database file, its pages and references", "lessons": "lessons against their hashes",
    "rows": "rows of lessons against their hashes", "versions": "versions, and their chain",
    "seals": "names, sources, times and report cards against their seals", "replays": "replay files that versions name",
    "adapters": "solved weights kept as files", "model": "model file",
}  # fmt: skip

FORMAT = "What"
FORMATS = [
    ("Whole model with the knowledge (GGUF)", "gguf"), ("Whole model for Ollama (folder)", "ollama"),
    ("Adapter only (small GGUF LoRA)", "adapter"), ("Adapter for transformers and vLLM (PEFT folder)", "peft"),
    ("Whole model for transformers and vLLM (safetensors folder)", "transformers"),
    ("All lessons and versions, to move or keep (bundle)", "bundle"),
]  # fmt: skip
ARENA_INTRO = "One question, two versions, nothing else different: the most probable words of each (temperature 0)."
ARENA_EMPTY = "The question is empty. Write what you want to ask both versions."
ARENA_QUESTION, ARENA_LEFT, ARENA_RIGHT = "Question", "One version", "The other version"
IMPORT_INTRO = "### Take over a bundle\nAll lessons and versions of another machine, made with the same base model."
BUNDLE, READ = "File (.qfbundle)", "Import"
REOBSERVE = "Teach its lessons anew (needed for a bundle of another model; takes as long as teaching them)"
IMPORTED = "Imported. Version {number} is live and knows {lessons}."
PATH, NO_PATH = "File to write", "There is no file name. Write where the file should go."
OVERWRITE = "Write over an existing file"
TENSOR_TYPE = "Type of the changed tensor"
TENSOR_TYPE_HINT = "Q8_0 keeps what was taught. Smaller types round some of it away; all other tensors stay as they are."
FORM = "Where lessons act"
FORMS = [("on every question", "plain"), ("where their subject is named (new; see README)", "reach")]
FORM_HINT = "The second choice takes about 8 seconds a lesson, some minutes more the first time, and makes a larger file."
FITTING_TYPES = [("Q8_0, where it fits", "auto"), ("as in the base", "keep")]
MAX_RANK = "Highest rank"
MAX_RANK_HINT = "Empty keeps everything. A lower rank makes a smaller file and loses a share of the change, which is told."
STRENGTH = "Strength"
STRENGTH_HINT = (
    "Less of the change disturbs other answers less, and what was taught is found less often when it is asked for in other "
    "words."
)
WRITE = "Export"
EXPORT_INTRO = (
    "A whole model opens in any llama.cpp, Ollama or LM Studio. An adapter is small and needs the same base model. "
    "Exported weights have all lessons active at once, whatever is asked; here only those that you ask about are. A whole "
    "GGUF model can keep them to their subjects.\n\n"
    "**What you taught can be read back from an exported file.** Share it only with people who may know it."
)
EXPORTED = "Wrote `{path}` ({megabytes:,.1f} MB)."
MODELS_INTRO = (
    "Each model has lessons of its own. A model that is opened is remembered: it comes back at the next start, unless you "
    "name another one. Installing asks the network; nothing else does."
)
MODEL_COLUMNS = ("Model", "Size", "Memory", "Licence", "State", "")
MODEL_NAME = "Another model"
MODEL_NAME_HINT = "hf:OWNER/NAME/FILE.gguf, hf:OWNER/NAME (safetensors), a name from the table, or a path"
INSTALL, OPEN_WITH = "Install", "Open with this model"
MEMORY_ABOUT, MEMORY_AT_LEAST = "about {gigabytes:.1f} GB", "at least {gigabytes:.1f} GB"
DOES_NOT_FIT = "(more than this computer has)"
INSTALLED, NOT_HERE, MODEL_OPEN, DAMAGED = "installed", "not installed", "answers now", "damaged: {why}"
NO_LICENCE = "see its source"
IS_HERE = "{title} is here. Press “Open with this model” to use it."
NOT_INSTALLED = "{name} is not installed. Press Install first."
NO_MODEL_NAMED = "No model is named. Write a name, hf:OWNER/NAME/FILE.gguf, hf:OWNER/NAME, or a path."
OPENING = (
    "Opening {title}. The window comes back by itself; a model that is opened for the first time answers 240 ordinary "
    "questions before."
)
STARTING = "Starting"
OPEN_NEXT_TIME = "{title} is remembered. End QF Chat and start it again (qfchat run) to use it."
CHOICE_FAILED = "The model {name} that was chosen cannot be opened: {why} Opening the one before."
ASKING_THE_WINDOW = "The window at {url} has this home open; its model and its knowledge are used."
NO_WINDOW_TO_ASK = (
    "Another QF Chat has this home open, and no window of it answers: it is starting, or a command is running. Try again "
    "when the window is there or the command is done, or give another --home."
)
WINDOW_GONE = (
    "The QF Chat window that was asked does not answer ({why}). Open it again, or end this server and start it again: it "
    "then opens the model itself."
)
HELP_BUTTON, HELP_TITLE, CLOSE = "Keyboard shortcuts", "Keyboard shortcuts", "Close"
HELP = [
    ("Enter", "Send"), ("Shift+Enter", "New line"), ("Esc", "Stop the answer"), ("Ctrl+K", "Search conversations"),
    ("Ctrl+Shift+O", "New chat"), ("Ctrl+Shift+L", "Teach"), ("Ctrl+Shift+Z", "Undo the lesson just learned"),
    ("Ctrl+/", "This help"),
]  # fmt: skip
LOOK, LOOKS = "Look", [("system", "System"), ("light", "Light"), ("dark", "Dark")]
KIND = {
    "base": "Base", "teach": "Taught", "replace": "Corrected", "forget": "Forgot", "restore": "Restored", "undo": "Undone",
    "import": "Imported", "erase": "Erased",
}  # fmt: skip

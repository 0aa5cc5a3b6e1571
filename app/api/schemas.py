"""What the HTTP interface takes and gives. The names under /v1 are OpenAI's."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from qfcore.export.merged import TYPES
from qfcore.exports import FORMS
from qfcore.lesson import MAX_CHARACTERS, MAX_FIELD_CHARACTERS
from qfcore.runtime.protocol import Sampling

LONGEST_ANSWER = 4096
"""Most tokens that one request may ask for; the context ends an answer earlier."""
MOST_STOPS, LONGEST_STOP = 16, 200
MOST_MESSAGES, MOST_REPLACED = 10_000, 256
LONGEST_REFERENCE = 200
"""Most characters of what names a version, a lesson or a model."""
LARGEST_NUMBER = 2**63 - 1
"""Largest number that the store can look up."""

Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
Reference = Annotated[str, Field(max_length=LONGEST_REFERENCE)]

_DEFAULT = Sampling()
_NOT_MADE = {
    "tools": "Tools are not supported; leave `tools` out.",
    "functions": "Functions are not supported; leave `functions` out.",
    "logprobs": "Log probabilities are not supported; leave `logprobs` out.",
    "logit_bias": "`logit_bias` is not supported; leave it out.",
    "suffix": "`suffix` is not supported; leave it out.",
    "echo": "`echo` is not supported; leave it out.",
}
_ONE_ANSWER = ("n", "best_of")


class TextPart(BaseModel):
    """A piece of a message; only text can be read."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def plain(self) -> dict[str, str]:
        """As the runtime takes it; `developer` is OpenAI's newer name of `system`."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class TemplateOptions(BaseModel):
    """What a chat template may be told, as vLLM has it."""

    model_config = ConfigDict(extra="forbid")

    enable_thinking: bool = False


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class _Request(BaseModel):
    """What both completions have in common."""

    model_config = ConfigDict(extra="ignore")

    model: Reference = Field(description="A name that `GET /v1/models` lists.")
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float = Field(_DEFAULT.temperature, ge=0, le=2, description="0 is greedy decoding.")
    top_p: float = Field(_DEFAULT.top_p, gt=0, le=1)
    top_k: int = Field(_DEFAULT.top_k, ge=0, description="Not in OpenAI's interface; 0 keeps all tokens.")
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    max_tokens: int | None = Field(None, ge=1, le=LONGEST_ANSWER)
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]], Field(max_length=MOST_STOPS)] = []
    seed: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_made(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for name, why in _NOT_MADE.items():
            if value.get(name):
                raise ValueError(why)
        for name in _ONE_ANSWER:
            if value.get(name) not in (None, 1):
                raise ValueError(f"`{name}` must be 1: each request has one answer.")
        if (value.get("response_format") or {"type": "text"}) != {"type": "text"}:
            raise ValueError("Only the response format `text` is supported.")
        return {name: given for name, given in value.items() if given is not None}  # null is "not given"

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def wants_usage(self) -> bool:
        """Whether a streamed answer ends with its number of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, limit: int | None = None) -> Sampling:
        """How the answer is drawn. Without penalties the repeat penalty is the window's, unless it is greedy."""
        plain = self.temperature == 0 or self.frequency_penalty or self.presence_penalty
        return Sampling(
            self.temperature, self.top_k, self.top_p, 1.0 if plain else _DEFAULT.repeat_penalty,
            limit or self.max_tokens or _DEFAULT.max_tokens, self.seed, self.frequency_penalty, self.presence_penalty,
        )  # fmt: skip


class ChatRequest(_Request):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(None, ge=1, le=LONGEST_ANSWER)
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] = Field(
        "none", description="Anything but `none` lets a reasoning model think first; its thoughts are `reasoning_content`."
    )
    chat_template_kwargs: TemplateOptions = TemplateOptions()

    @property
    def thinks(self) -> bool:
        """Whether the model shall think before it answers."""
        return self.reasoning_effort != "none" or self.chat_template_kwargs.enable_thinking

    @model_validator(mode="after")
    def _one_wish(self) -> "ChatRequest":
        effort, options = self.reasoning_effort != "none", self.chat_template_kwargs
        both = "reasoning_effort" in self.model_fields_set and "enable_thinking" in options.model_fields_set
        if both and effort != options.enable_thinking:
            raise ValueError("`reasoning_effort` and `chat_template_kwargs` contradict each other; leave one of them out.")
        return self


class CompletionRequest(_Request):
    """POST /v1/completions: text goes on where it ends; no chat template."""

    prompt: str = Field(min_length=1)

    @field_validator("prompt", mode="before")
    @classmethod
    def _one_prompt(cls, value: Any) -> Any:
        return value[0] if isinstance(value, list) and len(value) == 1 else value


class LessonIn(BaseModel):
    """A lesson to teach."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=MAX_CHARACTERS, examples=["Qi started Oxinnovate."])
    question: str = Field("", max_length=MAX_FIELD_CHARACTERS, description="The model writes one when it is empty.")
    answer: str = Field("", max_length=MAX_FIELD_CHARACTERS, description="The model's own when it is empty.")
    method: Literal["thorough", "fast", "paper"] = "thorough"
    source: Literal["api", "mcp"] = Field("api", description="What the lesson is said to come from.")
    replaces: list[Number] = Field(
        [], max_length=MOST_REPLACED, description="Numbers of the live lessons that this one replaces."
    )
    keep_conflicts: bool = Field(False, description="Teach it though a live lesson answers the question otherwise.")
    force: bool = Field(False, description="Apply it although the model repeats itself with it (`loops` of the report).")
    dry_run: bool = Field(False, description="Learn and report, but change nothing.")


class LessonOut(BaseModel):
    """A lesson in the store."""

    number: int
    id: str
    text: str
    question: str
    answer: str
    source: str
    phrasings: list[str]
    taught: str


class VersionOut(BaseModel):
    """An entry of the history."""

    number: int
    live: bool
    kind: str
    message: str
    parent: int | None
    lessons: int
    hash: str
    content: str
    names: list[str]
    created: str


class Taught(BaseModel):
    """What became of a lesson."""

    learned: bool
    version: int | None = Field(description="The version that knows it; null after a dry run.")
    lesson: int | None = Field(description="The lesson's number; null after a dry run.")
    report: dict


class DiffOut(BaseModel):
    """What version `new` knows against version `old`."""

    old: int
    new: int
    added: list[LessonOut]
    removed: list[LessonOut]
    observed_again: list[LessonOut]


class ExportIn(BaseModel):
    """What to write. All of it may be left out."""

    model_config = ConfigDict(extra="forbid")

    version: Reference | Number = Field("live", description="A version's number, name or hash.")
    name: str = Field(
        "", max_length=100, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$",
        description="A plain file name in the exports folder of the home; empty for one of the model and the version.",
    )
    overwrite: bool = Field(False, description="Write over an existing file; folders are never replaced.")
    with_lessons: bool = Field(False, description="List what was taught in the model card.")
    form: Literal[*FORMS] = Field(
        "plain",
        description="Of a GGUF of the whole model (gguf, ollama). plain: all lessons act on every question. reach: each "
        "acts where its subject is named.",
    )
    tensor_type: Literal["auto", "keep", *TYPES] = Field(
        "auto", description="Type of the edited tensor in a GGUF of the whole model (gguf, ollama)."
    )
    max_rank: int | None = Field(None, ge=1, le=512, description="Cut a PEFT adapter of higher rank down to this.")
    strength: float = Field(
        1.0, gt=0, le=1, description="By what the change is multiplied: less of it disturbs other answers less."
    )


class ExportOut(BaseModel):
    """What was written, on the computer that serves this."""

    path: str
    bytes: int
    version: int | None = Field(None, description="null for a bundle, which holds all.")
    form: str | None = Field(None, description="Of a GGUF of the whole model: reach or plain.")
    subjects: int | None = Field(None, description="With reach: how many subjects its lessons have.")
    missed: list[str] = Field([], description="With reach: lessons that are not in the file.")
    softened: dict[str, float] = Field(
        {}, description="With reach: by what a lesson's change was multiplied, since answers looped; 0: left out."
    )


class ModelOut(BaseModel):
    """A model to choose."""

    name: str
    title: str
    bytes: int
    sha256: str
    licence: str
    purpose: str
    default: bool
    path: str
    installed: bool
    memory_bytes: int = Field(description="About what it needs; at least, while it is not installed.")
    fits: bool = Field(description="Whether this computer has so much memory.")
    problem: str = Field(description="Why the installed file cannot be used; empty when it can.")


class AnswersOut(BaseModel):
    """One question to two versions."""

    question: str
    old: str
    new: str
    same: bool


class ComparedOut(BaseModel):
    """Two versions side by side."""

    old: int
    new: int
    added: list[LessonOut]
    removed: list[LessonOut]
    observed_again: list[LessonOut]
    norm: float = Field(description="Frobenius norm of the difference of the weights, all lessons active.")
    layers: dict[int, float]
    ranks: tuple[int, int]
    answers: list[AnswersOut]


class Verified(BaseModel):
    """What was derived anew, and what did not match."""

    ok: bool
    checked: dict[str, int]
    problems: list[str]


class Asked(BaseModel):
    """One wording of a lesson's question and what the live version says."""

    question: str
    answer: str
    ok: bool


class Checked(BaseModel):
    """How a lesson stands, asked now."""

    status: str
    asked: list[Asked]


class Origin(BaseModel):
    """A lesson that shapes an answer, and the version that knew it first."""

    lesson: LessonOut
    version: VersionOut

"""What may stand in a definition file: the one table that the reader checks with and the JSON schema is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from elastic_jobs.domain.targets import MembershipType, TargetType

NAME_LENGTH = 128
SERVER_NAME_LENGTH = 256
DESCRIPTION_LENGTH = 512
INT_MAX = 2**31 - 1
INTERVAL = r"P([1-9]\d{0,8}[YMWD]|T[1-9]\d{0,8}[HM])"
INSTANT = r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|z|[+-]\d{2}:\d{2})?)?"
GUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


class Kind(Enum):
    TEXT = auto()
    WHOLE = auto()
    NUMBER = auto()
    FLAG = auto()
    INSTANT = auto()
    SHAPE = auto()
    LIST = auto()


@dataclass(frozen=True, kw_only=True)
class Field:
    """One key. ``about``: a sentence for editors. ``longest``: in UTF-16 code units, as SQL Server counts."""

    name: str
    kind: Kind
    about: str
    required: bool = False
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    hint: str = ""
    """What to write instead, when the pattern is not met."""
    longest: int | None = None
    least: int = 0
    shape: Shape | None = None
    """Of the value, or of each entry of a list."""
    empty: bool = False
    """Whether a text may be blank."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A mapping. ``exactly_one``: keys of which one must be there and only one."""

    what: str
    fields: tuple[Field, ...]
    exactly_one: tuple[str, ...] = ()

    def field(self, name: str) -> Field | None:
        """The field of this name."""
        return next((field for field in self.fields if field.name == name), None)


def _text(name: str, about: str, *, required: bool = False, longest: int | None = NAME_LENGTH) -> Field:
    return Field(name=name, kind=Kind.TEXT, about=about, required=required, longest=longest)


def _seconds(name: str, about: str, least: int = 0) -> Field:
    return Field(name=name, kind=Kind.WHOLE, about=about, least=least)


MEMBER = Shape(
    what="member",
    fields=(
        Field(
            name="type",
            kind=Kind.TEXT,
            about="What the member is: the databases of a server, an elastic pool or a shard map, or one database.",
            required=True,
            choices=tuple(kind.value for kind in TargetType if kind is not TargetType.TARGET_GROUP),
        ),
        Field(
            name="membershipType",
            kind=Kind.TEXT,
            about="Include (default) or Exclude; what is excluded is out, whatever includes it.",
            choices=tuple(kind.value for kind in MembershipType),
        ),
        _text("serverName", "The logical server, with or without its suffix.", required=True),
        _text("databaseName", "The database; of a shard map, its manager."),
        _text("elasticPoolName", "The elastic pool."),
        _text("shardMapName", "The shard map."),
        _text("refreshCredential", "The name of the credential that asks the server which databases it has."),
    ),
)
GROUP = Shape(
    what="target group",
    fields=(
        _text("name", "The name of the target group; left out, the file's name says it."),
        Field(
            name="members",
            kind=Kind.LIST,
            about="What the group consists of; their order means nothing.",
            required=True,
            shape=MEMBER,
        ),
    ),
)
OPTIONS = Shape(
    what="execution options",
    fields=(
        _seconds("timeoutSeconds", "Of one attempt on one database (43200).", least=1),
        _seconds("retryAttempts", "How often a failed attempt is tried again (10)."),
        _seconds("initialRetryIntervalSeconds", "The wait before the first retry (1)."),
        _seconds("maximumRetryIntervalSeconds", "The longest wait before a retry (120)."),
        Field(
            name="retryIntervalBackoffMultiplier",
            kind=Kind.NUMBER,
            about="By how much each wait is longer than the one before it (2).",
            least=1,
        ),
    ),
)
OUTPUT = Shape(
    what="output",
    fields=(
        _text("serverName", "The server of the output table.", required=True, longest=SERVER_NAME_LENGTH),
        _text("databaseName", "The database of the output table.", required=True),
        _text("schemaName", "The schema of the output table (dbo)."),
        _text("tableName", "The output table; it is made when it is not there.", required=True),
        _text("credential", "The name of the credential that writes into it."),
        Field(
            name="subscriptionId",
            kind=Kind.TEXT,
            about="The subscription of the server.",
            pattern=GUID,
            hint="a GUID such as 11111111-2222-3333-4444-555555555555",
        ),
        _text("resourceGroupName", "The resource group of the server."),
    ),
)
STEP = Shape(
    what="step",
    fields=(
        _text("name", "The name of the step.", required=True),
        _text("targetGroup", "The name of the target group on which it runs.", required=True),
        _text("credential", "The name of the credential that runs it; none where the agent has an identity."),
        _text("script", "The script's file, from the folder jobs/ on: nightly/step1.sql.", longest=None),
        _text("sql", "The script itself, when it is short.", longest=None),
        Field(
            name="maxParallelism",
            kind=Kind.WHOLE,
            about="How many databases of one elastic pool at once; left out: no limit.",
            least=1,
        ),
        Field(name="executionOptions", kind=Kind.SHAPE, about="Time limit and retries.", shape=OPTIONS),
        Field(name="output", kind=Kind.SHAPE, about="Where the first result set goes.", shape=OUTPUT),
    ),
    exactly_one=("script", "sql"),
)
SCHEDULE = Shape(
    what="schedule",
    fields=(
        Field(name="enabled", kind=Kind.FLAG, about="Whether the schedule starts the job (false)."),
        Field(
            name="interval",
            kind=Kind.TEXT,
            about="How often, as an ISO 8601 duration; left out: once.",
            pattern=INTERVAL,
            hint="a duration such as PT5M, PT1H, P1D, P1W or P1M",
        ),
        Field(name="startTime", kind=Kind.INSTANT, about="The first start, in UTC; left out: when it is enabled."),
        Field(name="endTime", kind=Kind.INSTANT, about="No start after this instant, in UTC."),
    ),
)
JOB = Shape(
    what="job",
    fields=(
        Field(
            name="name",
            kind=Kind.TEXT,
            about="The name of the job; left out, the file's name says it.",
            longest=NAME_LENGTH,
            pattern=r"[^%]*[^%\s][^%]*",
            hint="a name without '%'",
        ),
        Field(
            name="description",
            kind=Kind.TEXT,
            about="What the job is for.",
            longest=DESCRIPTION_LENGTH,
            empty=True,
        ),
        Field(name="schedule", kind=Kind.SHAPE, about="When it starts by itself.", shape=SCHEDULE),
        Field(name="steps", kind=Kind.LIST, about="What it does, in this order.", shape=STEP),
    ),
)

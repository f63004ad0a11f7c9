"""The syntax tree of T-SQL: expressions, queries and statements, all immutable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..contract import SqlType

# ---------------------------------------------------------------------------------------------------- expressions


@dataclass(frozen=True)
class Expr:
    pass


@dataclass(frozen=True)
class Literal(Expr):
    """value in stored form."""

    value: object
    type: SqlType


@dataclass(frozen=True)
class Variable(Expr):
    name: str


@dataclass(frozen=True)
class Global(Expr):
    """``@@ROWCOUNT`` and the like."""

    name: str


@dataclass(frozen=True)
class ColumnRef(Expr):
    qualifier: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Star(Expr):
    qualifier: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unary(Expr):
    op: str
    operand: Expr


@dataclass(frozen=True)
class Binary(Expr):
    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Compare(Expr):
    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Logical(Expr):
    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Not(Expr):
    operand: Expr


@dataclass(frozen=True)
class IsNull(Expr):
    operand: Expr
    negated: bool


@dataclass(frozen=True)
class InList(Expr):
    operand: Expr
    items: tuple[Expr, ...]
    negated: bool


@dataclass(frozen=True)
class InQuery(Expr):
    operand: Expr
    query: Query
    negated: bool


@dataclass(frozen=True)
class Between(Expr):
    operand: Expr
    low: Expr
    high: Expr
    negated: bool


@dataclass(frozen=True)
class Like(Expr):
    operand: Expr
    pattern: Expr
    escape: Expr | None
    negated: bool


@dataclass(frozen=True)
class Exists(Expr):
    query: Query


@dataclass(frozen=True)
class Case(Expr):
    operand: Expr | None
    whens: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr | None


@dataclass(frozen=True)
class Cast(Expr):
    """CAST, CONVERT and their TRY_ forms."""

    operand: Expr
    type: SqlType
    style: Expr | None = None
    attempt: bool = False


@dataclass(frozen=True)
class Over:
    partition: tuple[Expr, ...]
    order: tuple[OrderItem, ...]
    frame: str = ""


@dataclass(frozen=True)
class Function(Expr):
    name: str
    arguments: tuple[Expr, ...]
    distinct: bool = False
    star: bool = False
    over: Over | None = None
    within: tuple[OrderItem, ...] = ()


@dataclass(frozen=True)
class Subquery(Expr):
    query: Query


@dataclass(frozen=True)
class Collate(Expr):
    operand: Expr
    collation: str


# -------------------------------------------------------------------------------------------------------- queries


@dataclass(frozen=True)
class ObjectName:
    """[database].[schema].name; parts that were left out are empty."""

    name: str
    schema: str = ""
    database: str = ""

    @property
    def text(self) -> str:
        return ".".join(part for part in (self.database, self.schema, self.name) if part)


@dataclass(frozen=True)
class OrderItem:
    expression: Expr
    descending: bool = False


@dataclass(frozen=True)
class SelectItem:
    """variable: of ``SELECT @v = expression``."""

    expression: Expr
    alias: str = ""
    variable: str = ""


@dataclass(frozen=True)
class NamedTable:
    name: ObjectName
    alias: str = ""


@dataclass(frozen=True)
class DerivedTable:
    query: Query
    alias: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Join:
    kind: str  # INNER, LEFT, RIGHT, FULL, CROSS
    left: TableSource
    right: TableSource
    on: Expr | None


TableSource = NamedTable | DerivedTable | Join


@dataclass(frozen=True)
class Top:
    count: Expr
    percent: bool = False


@dataclass(frozen=True)
class Select:
    items: tuple[SelectItem, ...]
    top: Top | None = None
    distinct: bool = False
    source: TableSource | None = None
    where: Expr | None = None
    group_by: tuple[Expr, ...] = ()
    having: Expr | None = None
    into: ObjectName | None = None


@dataclass(frozen=True)
class Values:
    """Rows of VALUES; a None in a row is DEFAULT."""

    rows: tuple[tuple[Expr | None, ...], ...]


@dataclass(frozen=True)
class SetOperation:
    op: str  # UNION, UNION ALL, EXCEPT, INTERSECT
    left: Body
    right: Body


Body = Select | Values | SetOperation


@dataclass(frozen=True)
class Cte:
    name: str
    columns: tuple[str, ...]
    query: Query


@dataclass(frozen=True)
class Query:
    body: Body
    ctes: tuple[Cte, ...] = ()
    order_by: tuple[OrderItem, ...] = ()
    offset: Expr | None = None
    fetch: Expr | None = None


# ----------------------------------------------------------------------------------------------------- statements


@dataclass(frozen=True, eq=False)
class Statement:
    """line: 1-based in the batch. plans: what the compiler made of it, kept here so that both go together."""

    line: int = field(kw_only=True, default=1)
    plans: dict[Any, Any] = field(kw_only=True, default_factory=dict, repr=False)


@dataclass(frozen=True, eq=False)
class SelectStatement(Statement):
    query: Query


@dataclass(frozen=True, eq=False)
class Insert(Statement):
    """source: None means DEFAULT VALUES."""

    target: ObjectName
    columns: tuple[str, ...]
    source: Query | None
    output: tuple[SelectItem, ...] = ()
    ctes: tuple[Cte, ...] = ()


@dataclass(frozen=True, eq=False)
class Update(Statement):
    target: ObjectName
    assignments: tuple[tuple[str, Expr], ...]
    source: TableSource | None = None
    where: Expr | None = None
    top: Top | None = None
    output: tuple[SelectItem, ...] = ()
    ctes: tuple[Cte, ...] = ()


@dataclass(frozen=True, eq=False)
class Delete(Statement):
    target: ObjectName
    source: TableSource | None = None
    where: Expr | None = None
    top: Top | None = None
    output: tuple[SelectItem, ...] = ()
    ctes: tuple[Cte, ...] = ()


@dataclass(frozen=True, eq=False)
class Truncate(Statement):
    target: ObjectName


@dataclass(frozen=True)
class ColumnDefinition:
    name: str
    type: SqlType
    nullable: bool | None = None
    identity: tuple[int, int] | None = None
    default: Expr | None = None
    default_name: str = ""


@dataclass(frozen=True)
class KeyConstraint:
    """PRIMARY KEY or UNIQUE."""

    name: str
    primary: bool
    columns: tuple[tuple[str, bool], ...]
    clustered: bool | None = None


@dataclass(frozen=True)
class CheckConstraint:
    name: str
    condition: Expr
    text: str


@dataclass(frozen=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    table: ObjectName
    references: tuple[str, ...]
    actions: str = ""


Constraint = KeyConstraint | CheckConstraint | ForeignKey


@dataclass(frozen=True, eq=False)
class CreateTable(Statement):
    name: ObjectName
    columns: tuple[ColumnDefinition, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[CreateIndex, ...] = ()


@dataclass(frozen=True, eq=False)
class CreateIndex(Statement):
    name: str
    table: ObjectName
    columns: tuple[tuple[str, bool], ...]
    unique: bool = False
    clustered: bool = False
    included: tuple[str, ...] = ()
    where: Expr | None = None


@dataclass(frozen=True, eq=False)
class AlterTableAdd(Statement):
    name: ObjectName
    columns: tuple[ColumnDefinition, ...]
    constraints: tuple[Constraint, ...]
    defaults: tuple[tuple[str, str, Expr], ...] = ()  # constraint name, column, expression


@dataclass(frozen=True, eq=False)
class AlterTableDrop(Statement):
    name: ObjectName
    columns: tuple[str, ...]
    constraints: tuple[str, ...]
    if_exists: bool = False


@dataclass(frozen=True, eq=False)
class AlterColumn(Statement):
    name: ObjectName
    column: ColumnDefinition


@dataclass(frozen=True, eq=False)
class Drop(Statement):
    """kind: TABLE, VIEW, PROCEDURE, INDEX, SCHEMA, USER, ROLE, LOGIN, DATABASE. table: of an index."""

    kind: str
    names: tuple[ObjectName, ...]
    if_exists: bool = False
    table: ObjectName | None = None


@dataclass(frozen=True, eq=False)
class CreateView(Statement):
    name: ObjectName
    columns: tuple[str, ...]
    query: Query
    text: str
    replace: str = ""  # "", "ALTER" or "CREATE OR ALTER"


@dataclass(frozen=True)
class ProcedureParameter:
    name: str
    type: SqlType
    default: Expr | None = None
    output: bool = False


@dataclass(frozen=True, eq=False)
class CreateProcedure(Statement):
    name: ObjectName
    parameters: tuple[ProcedureParameter, ...]
    body: Batch
    text: str
    replace: str = ""


@dataclass(frozen=True, eq=False)
class CreatePrincipal(Statement):
    """kind: LOGIN, USER, ROLE, SCHEMA, DATABASE. source: LOGIN, PASSWORD, EXTERNAL, WITHOUT LOGIN or empty."""

    kind: str
    name: str
    source: str = ""
    value: str = ""
    alter: bool = False


@dataclass(frozen=True, eq=False)
class AlterRole(Statement):
    role: str
    member: str
    add: bool


@dataclass(frozen=True, eq=False)
class Permission(Statement):
    """verb: GRANT, DENY, REVOKE. scope: OBJECT, SCHEMA or DATABASE with the name of what it is on."""

    verb: str
    actions: tuple[str, ...]
    scope: str
    on: ObjectName | None
    grantees: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Maintenance(Statement):
    """ALTER INDEX .. REBUILD and UPDATE STATISTICS: nothing to see but that the table must exist."""

    table: ObjectName


@dataclass(frozen=True, eq=False)
class Block(Statement):
    statements: tuple[Statement, ...]


@dataclass(frozen=True, eq=False)
class If(Statement):
    condition: Expr
    then: Statement
    otherwise: Statement | None


@dataclass(frozen=True, eq=False)
class While(Statement):
    condition: Expr
    body: Statement


@dataclass(frozen=True, eq=False)
class Break(Statement):
    pass


@dataclass(frozen=True, eq=False)
class Continue(Statement):
    pass


@dataclass(frozen=True, eq=False)
class TryCatch(Statement):
    body: Block
    handler: Block


@dataclass(frozen=True, eq=False)
class Declare(Statement):
    items: tuple[tuple[str, SqlType, Expr | None], ...]


@dataclass(frozen=True, eq=False)
class SetVariable(Statement):
    name: str
    expression: Expr


@dataclass(frozen=True, eq=False)
class SetOption(Statement):
    names: tuple[str, ...]
    value: str
    table: ObjectName | None = None


@dataclass(frozen=True, eq=False)
class Print(Statement):
    expression: Expr


@dataclass(frozen=True, eq=False)
class Raiserror(Statement):
    message: Expr
    severity: Expr
    state: Expr
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, eq=False)
class Throw(Statement):
    number: Expr | None = None
    message: Expr | None = None
    state: Expr | None = None


@dataclass(frozen=True, eq=False)
class Waitfor(Statement):
    kind: str  # DELAY or TIME
    expression: Expr


@dataclass(frozen=True)
class Argument:
    name: str
    value: Expr | None  # None: DEFAULT
    output: bool = False


@dataclass(frozen=True, eq=False)
class Execute(Statement):
    module: ObjectName
    arguments: tuple[Argument, ...]
    result: str = ""


@dataclass(frozen=True, eq=False)
class ExecuteString(Statement):
    expression: Expr


@dataclass(frozen=True, eq=False)
class Return(Statement):
    expression: Expr | None = None


@dataclass(frozen=True, eq=False)
class Use(Statement):
    database: str


@dataclass(frozen=True, eq=False)
class Transaction(Statement):
    """kind: BEGIN, COMMIT, ROLLBACK, SAVE."""

    kind: str
    name: str = ""


@dataclass(frozen=True, eq=False)
class Batch:
    """declared: the variables that the text declares. free: used before or without that, with the line of first use."""

    statements: tuple[Statement, ...]
    declared: tuple[tuple[str, SqlType], ...]
    free: tuple[tuple[str, int], ...]
    text: str = ""

"""The parser of statements that define things: tables, indexes, views, principals, permissions."""

from __future__ import annotations

from ..contract import SqlType
from . import nodes
from .parser_queries import QueryParser

_ALTER_ADD_KEYWORDS = ("constraint", "primary", "unique", "check", "foreign", "default")


class DdlParser(QueryParser):
    def create(self, line: int) -> nodes.Statement:
        start = self.advance().start
        replace = "CREATE OR ALTER" if self.take("or", "alter") else ""
        if self.at("view"):
            return self._view(line, start, replace)
        if self.at("procedure", "proc"):
            return self.procedure(line, start, replace)
        if self.at("table"):
            return self._table_definition(line)
        if self.at("unique", "clustered", "nonclustered", "index"):
            return self._index(line)
        if self.at("login", "user", "role", "schema", "database"):
            return self._principal(line, alter=False)
        return self.refuse(f"CREATE {self.token.text.upper()}")

    def procedure(
        self, line: int, start: int, replace: str
    ) -> nodes.Statement:  # pragma: no cover - in the batch parser
        raise NotImplementedError

    def alter(self, line: int) -> nodes.Statement:
        start = self.advance().start
        if self.take("table"):
            return self._alter_table(line)
        if self.at("view"):
            return self._view(line, start, "ALTER")
        if self.at("procedure", "proc"):
            return self.procedure(line, start, "ALTER")
        if self.take("role"):
            role = self.identifier()
            add = self.take("add")
            if not add:
                self.expect("drop")
            self.expect("member")
            return nodes.AlterRole(role, self.identifier(), add, line=line)
        if self.at("login"):
            return self._principal(line, alter=True)
        if self.take("index"):
            return self._alter_index(line)
        return self.refuse(f"ALTER {self.token.text.upper()}")

    def _alter_index(self, line: int) -> nodes.Statement:
        if not self.take("all"):
            self.identifier()
        self.expect("on")
        table = self.object_name()
        if not self.at("rebuild", "reorganize"):
            self.refuse(f"ALTER INDEX .. {self.token.text.upper()}")
        self.advance()
        if self.at_words("with", "("):
            self._skip_parentheses()
        return nodes.Maintenance(table, line=line)

    # Tables

    def _table_definition(self, line: int) -> nodes.CreateTable:
        self.expect("table")
        name = self.object_name()
        return self.table_body(name, line)

    def table_body(self, name: nodes.ObjectName, line: int) -> nodes.CreateTable:
        self.expect("(")
        columns: list[nodes.ColumnDefinition] = []
        constraints: list[nodes.Constraint] = []
        indexes: list[nodes.CreateIndex] = []
        while True:
            if self.at("constraint", "primary", "unique", "check", "foreign"):
                constraints.append(self._constraint(None))
            elif self.at("index") and self.peek().key != ",":
                indexes.append(self._inline_index(name, line))
            else:
                columns.append(self._column(constraints))
            if not self.take(",") or self.at(")"):
                break
        self.expect(")")
        if self.take("on"):
            self.identifier()
        if self.at_words("with", "("):
            if any(
                token.key in ("system_versioning", "memory_optimized", "ledger") for token in self.tokens[self.index :]
            ):
                self.refuse("this table option")
            self._skip_parentheses()
        return nodes.CreateTable(name, tuple(columns), tuple(constraints), tuple(indexes), line=line)

    def _inline_index(self, table: nodes.ObjectName, line: int) -> nodes.CreateIndex:
        self.expect("index")
        name = self.identifier()
        unique = self.take("unique")
        clustered = self.take("clustered")
        if not clustered:
            self.take("nonclustered")
        return nodes.CreateIndex(name, table, self._key_columns(), unique, clustered, line=line)

    def _column(self, constraints: list[nodes.Constraint]) -> nodes.ColumnDefinition:
        name = self.identifier()
        if self.at("as"):
            self.refuse("computed columns")
        sql_type = self.data_type(1)
        nullable: bool | None = None
        identity: tuple[int, int] | None = None
        default: nodes.Expr | None = None
        default_name = constraint = ""
        while True:
            if self.take("constraint"):
                constraint = self.identifier()
            elif self.take("not", "null"):
                nullable = False
            elif self.take("null"):
                nullable = True
            elif self.take("identity"):
                identity, nullable = self._identity(), False
            elif self.take("default"):
                default, default_name, constraint = self._default(), constraint, ""
            elif self.at("primary", "unique", "check", "references", "foreign"):
                constraints.append(self._constraint(name, constraint))
                constraint = ""
            elif not self._skip_column_noise():
                return nodes.ColumnDefinition(name, sql_type, nullable, identity, default, default_name)

    def _skip_column_noise(self) -> bool:
        """What changes nothing here: COLLATE of the default kind, ROWGUIDCOL, SPARSE."""
        if self.take("collate"):
            collation = self.identifier()
            if any(mark in collation.upper() for mark in ("_BIN", "_CS")):
                self.refuse(f"a column COLLATE {collation}")
            return True
        if self.at("generated", "masked", "encrypted"):
            self.refuse(f"{self.token.text.upper()} columns")
        return self.take("rowguidcol") or self.take("sparse")

    def _identity(self) -> tuple[int, int]:
        if not self.take("("):
            return 1, 1
        seed = self.integer()
        self.expect(",")
        increment = self.integer()
        self.expect(")")
        return seed, increment

    def _default(self) -> nodes.Expr:
        return self._signed()

    def _constraint(self, column: str | None, name: str = "") -> nodes.Constraint:
        if self.take("constraint"):
            name = self.identifier()
        if self.at("primary", "unique"):
            return self._key(column, name)
        if self.take("check"):
            self.expect("(")
            start = self.token.start
            condition = self.condition()
            text = self.source[start : self.token.start].strip()
            self.expect(")")
            return nodes.CheckConstraint(name, condition, f"({text})")
        return self._foreign_key(column, name)

    def _key(self, column: str | None, name: str) -> nodes.KeyConstraint:
        primary = self.take("primary", "key")
        if not primary:
            self.expect("unique")
        clustered = True if self.take("clustered") else (False if self.take("nonclustered") else None)
        columns = self._key_columns() if column is None or self.at("(") else ((column, False),)
        if self.at_words("with", "("):
            self._skip_parentheses()
        if self.take("on"):
            self.identifier()
        return nodes.KeyConstraint(name, primary, columns, clustered)

    def _key_columns(self) -> tuple[tuple[str, bool], ...]:
        self.expect("(")
        columns = []
        while True:
            column = self.identifier()
            descending = self.take("desc")
            if not descending:
                self.take("asc")
            columns.append((column, descending))
            if not self.take(","):
                break
        self.expect(")")
        return tuple(columns)

    def _foreign_key(self, column: str | None, name: str) -> nodes.ForeignKey:
        columns: tuple[str, ...] = (column,) if column is not None else ()
        if self.take("foreign", "key") and self.at("("):
            columns = self.name_list()
        self.expect("references")
        table = self.object_name()
        references = self.name_list() if self.at("(") else ()
        actions = ""
        while self.take("on"):
            event = self.advance().key.upper()
            words = [self.advance().key.upper()]
            if words[0] in ("SET", "NO"):
                words.append(self.advance().key.upper())
            if event not in ("DELETE", "UPDATE") or " ".join(words) not in ("CASCADE", "SET NULL", "NO ACTION"):
                self.refuse(f"ON {event} {' '.join(words)}")
            actions += f" ON {event} {' '.join(words)}"
        return nodes.ForeignKey(name, columns, table, references, actions)

    def _alter_table(self, line: int) -> nodes.Statement:
        name = self.object_name()
        if self.take("with"):  # WITH CHECK / NOCHECK ADD
            self.advance()
        if self.take("add"):
            return self._alter_add(name, line)
        if self.take("alter", "column"):
            constraints: list[nodes.Constraint] = []
            return nodes.AlterColumn(name, self._column(constraints), line=line)
        if self.take("drop"):
            return self._alter_drop(name, line)
        return self.refuse(f"ALTER TABLE .. {self.token.text.upper()}")

    def _alter_add(self, name: nodes.ObjectName, line: int) -> nodes.Statement:
        columns: list[nodes.ColumnDefinition] = []
        constraints: list[nodes.Constraint] = []
        defaults: list[tuple[str, str, nodes.Expr]] = []
        while True:
            if self.at("default") or (self.at("constraint") and self.peek(2).key == "default"):
                constraint = self.identifier() if self.take("constraint") else ""
                self.expect("default")
                expression = self._default()
                self.expect("for")
                defaults.append((constraint, self.identifier(), expression))
            elif self.at(*_ALTER_ADD_KEYWORDS):
                constraints.append(self._constraint(None))
            else:
                columns.append(self._column(constraints))
            if not self.take(","):
                break
        return nodes.AlterTableAdd(name, tuple(columns), tuple(constraints), tuple(defaults), line=line)

    def _alter_drop(self, name: nodes.ObjectName, line: int) -> nodes.Statement:
        found: dict[str, list[str]] = {"column": [], "constraint": []}
        kind, if_exists = "constraint", False
        while True:
            if self.at("column", "constraint"):
                kind = self.advance().key
            if_exists = self.take("if", "exists") or if_exists
            found[kind].append(self.identifier())
            if not self.take(","):
                break
        return nodes.AlterTableDrop(name, tuple(found["column"]), tuple(found["constraint"]), if_exists, line=line)

    def _index(self, line: int) -> nodes.CreateIndex:
        unique = self.take("unique")
        clustered = self.take("clustered")
        if not clustered:
            self.take("nonclustered")
        if self.at("columnstore"):
            self.refuse("COLUMNSTORE indexes")
        self.expect("index")
        name = self.identifier()
        self.expect("on")
        table = self.object_name()
        columns = self._key_columns()
        included = self.name_list() if self.take("include") else ()
        where = self.condition() if self.take("where") else None
        if self.at_words("with", "("):
            self._skip_parentheses()
        if self.take("on"):
            self.identifier()
        return nodes.CreateIndex(name, table, columns, unique, clustered, included, where, line=line)

    def _view(self, line: int, start: int, replace: str) -> nodes.CreateView:
        self.expect("view")
        name = self.object_name()
        columns = self.name_list() if self.at("(") else ()
        if self.take("with"):
            self.refuse("CREATE VIEW .. WITH")
        self.expect("as")
        query = self.query()
        text = self.source[start : self.tokens[self.index - 1].end]
        return nodes.CreateView(name, columns, query, text, replace, line=line)

    # Dropping

    def drop(self, line: int) -> nodes.Statement:
        self.expect("drop")
        kind = self.advance().key.upper()
        kind = "PROCEDURE" if kind == "PROC" else kind
        if kind not in ("TABLE", "VIEW", "PROCEDURE", "INDEX", "SCHEMA", "USER", "ROLE", "LOGIN", "DATABASE"):
            self.refuse(f"DROP {kind}")
        if_exists = self.take("if", "exists")
        names = [self.object_name()]
        if kind == "INDEX":
            return self._drop_index(names[0], if_exists, line)
        while self.take(","):
            names.append(self.object_name())
        return nodes.Drop(kind, tuple(names), if_exists, line=line)

    def _drop_index(self, name: nodes.ObjectName, if_exists: bool, line: int) -> nodes.Drop:
        if self.take("on"):
            return nodes.Drop("INDEX", (name,), if_exists, self.object_name(), line=line)
        table = nodes.ObjectName(name.schema, name.database)  # DROP INDEX table.index, the old form
        return nodes.Drop("INDEX", (nodes.ObjectName(name.name),), if_exists, table, line=line)

    # Principals and permissions

    def _principal(self, line: int, alter: bool) -> nodes.CreatePrincipal:
        kind = self.advance().key.upper()
        name = self.identifier()
        source = value = ""
        if kind == "DATABASE":
            source, value = self._database_options()
        elif self.take("authorization"):
            self.identifier()
        elif self.take("from", "external", "provider"):
            source = "EXTERNAL"
        elif self.at("from", "for"):
            self.advance()
            self.expect("login")
            source, value = "LOGIN", self.identifier()
        elif self.take("without", "login"):
            source = "WITHOUT LOGIN"
        elif self.at_words("with", "password"):
            source, value = "PASSWORD", self._password()
        elif self.at("with", "enable", "disable"):
            self.refuse(
                f"{'ALTER' if alter else 'CREATE'} {kind} .. {self.token.text.upper()} {self.peek().text.upper()}"
            )
        self._principal_options()
        return nodes.CreatePrincipal(kind, name, source, value, alter, line=line)

    def _password(self) -> str:
        self.expect("with", "password", "=")
        if self.token.kind not in ("string", "nstring"):
            self.fail()
        return self.advance().value

    def _principal_options(self) -> None:
        """DEFAULT_SCHEMA and the like, of which only the default one is known."""
        while self.at("with", ","):
            self.advance()
            option = self.identifier().lower()
            self.expect("=")
            value = self.advance().value
            if option == "default_schema" and value.lower() != "dbo":
                self.refuse(f"a DEFAULT_SCHEMA other than dbo ({value})")

    def _database_options(self) -> tuple[str, str]:
        """( EDITION = '..', SERVICE_OBJECTIVE = '..' | ELASTIC_POOL ( name = x ) )"""
        source = value = ""
        if not self.take("("):
            return source, value
        while not self.at(")"):
            option = self.identifier().lower()
            self.expect("=")
            if self.take("elastic_pool"):
                self.expect("(", "name", "=")
                source, value = "ELASTIC_POOL", self.advance().value
                self.expect(")")
            else:
                text = self.advance().value
                if option == "service_objective":
                    source, value = "SERVICE_OBJECTIVE", text
            if not self.take(","):
                break
        self.expect(")")
        return source, value

    def permission(self, line: int) -> nodes.Permission:
        verb = self.advance().key.upper()
        actions = [self._action()]
        while self.take(","):
            actions.append(self._action())
        scope, on = "DATABASE", None
        if self.take("on"):
            scope = "OBJECT"
            if self.peek().key == "::":
                scope = self.advance().key.upper()
                self.advance()
                if scope not in ("OBJECT", "SCHEMA", "DATABASE"):
                    self.refuse(f"permissions ON {scope}::")
            on = self.object_name()
        if not self.take("to"):
            self.expect("from")
        grantees = [self._grantee()]
        while self.take(","):
            grantees.append(self._grantee())
        if self.take("with", "grant") and self.at("option"):
            self.advance()
        self.take("cascade")
        return nodes.Permission(verb, tuple(actions), scope, on, tuple(grantees), line=line)

    def _grantee(self) -> str:
        return self.advance().key if self.at("public") else self.identifier()

    def _action(self) -> str:
        words = []
        while self.token.kind == "word" and not self.at("on", "to", "from"):
            words.append(self.advance().key.upper())
        if self.at("("):
            self.refuse("column permissions")
        if not words:
            self.fail()
        return "ALL" if words == ["ALL", "PRIVILEGES"] else " ".join("EXECUTE" if w == "EXEC" else w for w in words)

    def typed_default(self) -> tuple[SqlType, nodes.Expr | None]:
        """``type [= expression]`` as in DECLARE."""
        sql_type = self.data_type(1)
        return sql_type, self.expression() if self.take("=") else None

"""The parser of batches: statements and control flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ..contract import SqlError, SqlType
from . import nodes, types
from .parser_ddl import DdlParser

_REFUSED = {
    "merge": "MERGE", "goto": "GOTO", "open": "cursors", "fetch": "cursors", "close": "cursors",
    "deallocate": "cursors",
    "backup": "BACKUP", "restore": "RESTORE", "dbcc": "DBCC", "kill": "KILL", "revert": "REVERT", "bulk": "BULK INSERT",
    "shutdown": "SHUTDOWN", "checkpoint": "CHECKPOINT", "readtext": "READTEXT", "writetext": "WRITETEXT",
    "reconfigure": "RECONFIGURE", "disable": "DISABLE TRIGGER", "enable": "ENABLE TRIGGER",
}  # fmt: skip
# SET options that are accepted; those that change nothing here are remembered all the same.
_OPTIONS = {
    "nocount", "xact_abort", "ansi_nulls", "ansi_padding", "ansi_warnings", "ansi_null_dflt_on", "arithabort",
    "concat_null_yields_null", "quoted_identifier", "numeric_roundabort", "cursor_close_on_commit", "lock_timeout",
    "deadlock_priority", "implicit_transactions", "language", "dateformat", "datefirst", "textsize", "rowcount",
    "transaction", "identity_insert", "ansi_defaults", "noexec", "context_info", "statistics", "fmtonly",
    "showplan_xml",
}  # fmt: skip
_REFUSED_ON = {"implicit_transactions", "noexec", "statistics", "fmtonly", "showplan_xml", "context_info"}


class BatchParser(DdlParser):
    def batch(self) -> nodes.Batch:
        statements = []
        self._skip_semicolons()
        first = True
        while self.token.kind != "end":
            statements.append(self._statement(first))
            self._skip_semicolons()
            first = False
        return self._finish(statements)

    def _finish(self, statements: list[nodes.Statement]) -> nodes.Batch:
        declared = tuple((name, kind) for name, kind in self.declared.items())
        return nodes.Batch(tuple(statements), declared, tuple(self.free.items()), self.source)

    def _skip_semicolons(self) -> None:
        while self.take(";"):
            pass

    def _statement(self, first: bool = False) -> nodes.Statement:
        self._skip_semicolons()
        line, key = self.token.line, self.token.key
        handler = self._handlers().get(key)
        if handler is not None:
            return handler(line)
        if key in _REFUSED and self.peek().key != ".":
            self.refuse(_REFUSED[key])
        if first and self.at_identifier():
            return self._procedure_call(line, "")
        return self.fail()

    def _handlers(self) -> dict[str, Callable[[int], nodes.Statement]]:
        return {
            "select": self._select_statement, "(": self._select_statement, "with": self._with,
            "insert": lambda line: self.insert(line, ()), "update": self._update,
            "delete": lambda line: self.delete(line, ()), "truncate": self._truncate, "create": self.create,
            "alter": self.alter, "drop": self.drop, "grant": self.permission, "deny": self.permission,
            "revoke": self.permission, "begin": self._begin, "if": self._if, "while": self._while,
            "break": lambda line: self._single(nodes.Break(line=line)),
            "continue": lambda line: self._single(nodes.Continue(line=line)), "declare": self._declare,
            "set": self._set,
            "print": self._print, "raiserror": self._raiserror, "throw": self._throw, "waitfor": self._waitfor,
            "exec": self._execute, "execute": self._execute, "return": self._return, "use": self._use,
            "commit": self._end_transaction, "rollback": self._end_transaction, "save": self._save,
        }  # fmt: skip

    def _single(self, statement: nodes.Statement) -> nodes.Statement:
        self.advance()
        return statement

    # Queries

    def _select_statement(self, line: int) -> nodes.Statement:
        return nodes.SelectStatement(self.query(), line=line)

    def _with(self, line: int) -> nodes.Statement:
        ctes = self.common_tables()
        if self.at("insert"):
            return self.insert(line, ctes)
        if self.at("update"):
            return self.update(line, ctes)
        if self.at("delete"):
            return self.delete(line, ctes)
        if self.at("merge"):
            self.refuse("MERGE")
        return nodes.SelectStatement(self.query_tail(ctes), line=line)

    def _update(self, line: int) -> nodes.Statement:
        if self.at_words("update", "statistics"):
            self.advance()
            self.advance()
            table = self.object_name()
            if self.at_identifier():
                self.identifier()
            if self.take("with"):
                self.identifier()
            return nodes.Maintenance(table, line=line)
        return self.update(line, ())

    def _truncate(self, line: int) -> nodes.Statement:
        self.expect("truncate", "table")
        return nodes.Truncate(self.object_name(), line=line)

    # Blocks

    def _begin(self, line: int) -> nodes.Statement:
        self.expect("begin")
        if self.at("tran", "transaction"):
            self.advance()
            return nodes.Transaction("BEGIN", self._transaction_name(), line=line)
        if self.at("distributed"):
            self.refuse("BEGIN DISTRIBUTED TRANSACTION")
        if self.take("try"):
            body = self._until_end("try", line)
            self._skip_semicolons()
            self.expect("begin", "catch")
            return nodes.TryCatch(body, self._until_end("catch", self.token.line), line=line)
        return self._until_end("", line)

    def _until_end(self, word: str, line: int) -> nodes.Block:
        statements: list[nodes.Statement] = []
        self._skip_semicolons()
        while not self.at("end"):
            statements.append(self._statement())
            self._skip_semicolons()
        if not statements and word != "catch":
            self.fail()
        self.expect("end")
        if word:
            self.expect(word)
        return nodes.Block(tuple(statements), line=line)

    def _if(self, line: int) -> nodes.Statement:
        self.expect("if")
        condition = self.condition()
        then = self._statement()
        self._semicolons_before_else()
        otherwise = self._statement() if self.take("else") else None
        return nodes.If(condition, then, otherwise, line=line)

    def _semicolons_before_else(self) -> None:
        ahead = 0
        while self.peek(ahead).key == ";":
            ahead += 1
        if ahead and self.peek(ahead).key == "else":
            self._skip_semicolons()

    def _while(self, line: int) -> nodes.Statement:
        self.expect("while")
        return nodes.While(self.condition(), self._statement(), line=line)

    # Variables and options

    def _declare(self, line: int) -> nodes.Statement:
        self.expect("declare")
        if self.token.kind != "variable":
            if self.peek().key == "cursor" or self.peek(2).key == "cursor":
                self.refuse("cursors")
            self.fail()
        if self.peek().key == "table" or (self.peek().key == "as" and self.peek(2).key == "table"):
            return self._declare_table(line)
        items = [self._declaration()]
        while self.take(","):
            items.append(self._declaration())
        return nodes.Declare(tuple(items), line=line)

    def _declaration(self) -> tuple[str, SqlType, nodes.Expr | None]:
        token = self.advance()
        if token.kind != "variable":
            self.fail()
        if token.value in self.declared or token.value in self.declared_tables:
            text = (
                f"The variable name '{token.text}' has already been declared. Variable names must be unique within a "
                "query batch or stored procedure."
            )
            raise SqlError(134, 15, text, line=token.line)
        self.take("as")
        if self.at("cursor"):
            self.refuse("cursors")
        if self.at("table"):
            self.refuse("a table variable declared together with others")
        sql_type, value = self.typed_default()
        self.declared[token.value] = sql_type
        return token.value, sql_type, value

    def _declare_table(self, line: int) -> nodes.Statement:
        name = self.advance().value
        self.take("as")
        self.expect("table")
        self.declared_tables.add(name)
        return self.table_body(nodes.ObjectName(name), line)

    def _set(self, line: int) -> nodes.Statement:
        self.expect("set")
        if self.token.kind == "variable":
            name = self.use_variable(self.advance())
            sign = self.advance().key
            if sign not in ("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="):
                self.index -= 1
                self.token = self.tokens[self.index]
                self.fail()
            value = self.expression()
            if sign != "=":
                value = nodes.Binary(sign[0], nodes.Variable(name), value)
            return nodes.SetVariable(name, value, line=line)
        return self._set_option(line)

    def _set_option(self, line: int) -> nodes.Statement:
        names = [self.advance().key]
        while self.take(","):
            names.append(self.advance().key)
        for name in names:
            if name not in _OPTIONS:
                self.refuse(f"SET {name.upper() or self.token.text.upper()}")
        if names == ["transaction"]:
            return self._isolation(line)
        table = self.object_name() if names == ["identity_insert"] else None
        if names == ["statistics"]:
            self.advance()
        value = "-" + self.advance().text if self.take("-") else self.advance().value.upper()
        if value == "ON" and any(name in _REFUSED_ON for name in names):
            self.refuse(f"SET {names[0].upper()} ON")
        return nodes.SetOption(tuple(names), value, table, line=line)

    def _isolation(self, line: int) -> nodes.Statement:
        self.expect("isolation", "level")
        words = [self.advance().key.upper()]
        if words[0] in ("READ", "REPEATABLE"):
            words.append(self.advance().key.upper())
        return nodes.SetOption(("transaction isolation level",), " ".join(words), line=line)

    # Messages and time

    def _print(self, line: int) -> nodes.Statement:
        self.expect("print")
        return nodes.Print(self.expression(), line=line)

    def _raiserror(self, line: int) -> nodes.Statement:
        self.expect("raiserror")
        if not self.take("("):
            self.refuse("RAISERROR without parentheses")
        parts = self._list()
        self.expect(")")
        if len(parts) < 3:
            self.fail()
        if self.take("with"):
            while True:
                if not self.at("nowait", "log", "seterror"):
                    self.fail()
                self.advance()
                if not self.take(","):
                    break
        return nodes.Raiserror(parts[0], parts[1], parts[2], parts[3:], line=line)

    def _throw(self, line: int) -> nodes.Statement:
        self.expect("throw")
        if self.token.kind not in ("number", "variable") and not self.at("-"):
            return nodes.Throw(line=line)
        parts = self._list()
        if len(parts) != 3:
            self.fail()
        return nodes.Throw(*parts, line=line)

    def _waitfor(self, line: int) -> nodes.Statement:
        self.expect("waitfor")
        if not self.at("delay", "time"):
            self.refuse("WAITFOR (statement)")
        kind = self.advance().key.upper()
        return nodes.Waitfor(kind, self.expression(), line=line)

    # Procedures

    def procedure(self, line: int, start: int, replace: str) -> nodes.Statement:
        self.advance()
        name = self.object_name()
        outer = (self.declared, self.declared_tables, self.free)
        self.declared, self.declared_tables, self.free = {}, set(), {}
        parameters = self._parameters()
        if self.at("with"):
            self.refuse("CREATE PROCEDURE .. WITH")
        self.expect("as")
        statements = []
        while self.token.kind != "end":
            statements.append(self._statement())
            self._skip_semicolons()
        body = self._finish(statements)
        for parameter in parameters:
            self.declared.pop(parameter.name, None)
        self.declared, self.declared_tables, self.free = outer
        return nodes.CreateProcedure(name, parameters, body, self.source[start:], replace, line=line)

    def _parameters(self) -> tuple[nodes.ProcedureParameter, ...]:
        enclosed = self.take("(")
        parameters = []
        while self.token.kind == "variable":
            name = self.advance().value
            self.take("as")
            sql_type = self.data_type(1)
            default = self._signed() if self.take("=") else None
            output = self.take("output") or self.take("out")
            self.take("readonly")
            parameters.append(nodes.ProcedureParameter(name, sql_type, default, output))
            self.declared[name] = sql_type
            if not self.take(","):
                break
        if enclosed:
            self.expect(")")
        return tuple(parameters)

    def _execute(self, line: int) -> nodes.Statement:
        self.advance()
        if self.take("("):
            expression = self.expression()
            self.expect(")")
            if self.at("at"):
                self.refuse("EXECUTE .. AT")
            return nodes.ExecuteString(expression, line=line)
        if self.at_words("as", "user") or self.at_words("as", "login") or self.at_words("as", "caller"):
            self.refuse("EXECUTE AS")
        result = ""
        if self.token.kind == "variable" and self.peek().key == "=":
            result = self.use_variable(self.advance())
            self.advance()
        return self._procedure_call(line, result)

    def _procedure_call(self, line: int, result: str) -> nodes.Statement:
        if self.token.kind == "variable":
            self.refuse("EXECUTE @procedure_name")
        module = self.object_name()
        arguments = []
        if self._at_argument():
            arguments.append(self._argument())
            while self.take(","):
                arguments.append(self._argument())
        if self.at_words("with", "recompile"):
            self.advance()
            self.advance()
        elif self.at_words("with", "result"):
            self.refuse("EXECUTE .. WITH RESULT SETS")
        return nodes.Execute(module, tuple(arguments), result, line=line)

    def _at_argument(self) -> bool:
        token = self.token
        if token.kind in ("variable", "string", "nstring", "number", "money", "binary") or token.key in ("-", "null"):
            return True
        return token.key == "default" or self.at_identifier()

    def _argument(self) -> nodes.Argument:
        name = ""
        if self.token.kind == "variable" and self.peek().key == "=":
            name = self.advance().value
            self.advance()
        if self.take("default"):
            return nodes.Argument(name, None)
        if self.at_identifier():  # EXEC p word: a bare word is a string
            word = self.advance().value
            return nodes.Argument(name, nodes.Literal(word, types.nvarchar(len(word))))
        value = self._signed()
        output = self.take("output") or self.take("out")
        return nodes.Argument(name, value, output)

    def _return(self, line: int) -> nodes.Statement:
        self.expect("return")
        starts = self.token.kind in ("number", "variable") or self.at("-", "(", "case")
        if self.at_identifier() and self.peek().key == "(":
            starts = True
        return nodes.Return(self.expression() if starts else None, line=line)

    def _use(self, line: int) -> nodes.Statement:
        self.expect("use")
        return nodes.Use(self.identifier(), line=line)

    # Transactions

    def _transaction_name(self) -> str:
        if self.token.kind == "variable":
            self.refuse("a transaction named by a variable")
        name = self.identifier() if self.at_identifier() and not self.at("throw") else ""
        if self.at_words("with", "mark"):
            self.refuse("BEGIN TRANSACTION .. WITH MARK")
        return name

    def _end_transaction(self, line: int) -> nodes.Statement:
        kind = self.advance().key.upper()
        name = ""
        if self.at("tran", "transaction"):
            self.advance()
            name = self._transaction_name()
        else:
            self.take("work")
        return nodes.Transaction(kind, name, line=line)

    def _save(self, line: int) -> nodes.Statement:
        self.expect("save")
        if not self.take("tran"):
            self.expect("transaction")
        return nodes.Transaction("SAVE", self.identifier(), line=line)


@lru_cache(maxsize=2000)
def parse(text: str) -> nodes.Batch:
    """The batch, from the cache when the same text was parsed before. Errors: SqlError with the line in the batch."""
    return BatchParser(text).batch()

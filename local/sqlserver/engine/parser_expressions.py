"""Token cursor, and the parser of T-SQL expressions and conditions."""

from __future__ import annotations

from typing import NoReturn

from ..contract import SqlError, SqlType
from . import errors, nodes, types
from .tokenizer import Token, tokenize

_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!<": ">=", "!>": "<="}
_NILADIC = {
    "current_timestamp": "getdate", "current_user": "user_name", "session_user": "user_name", "user": "user_name",
    "system_user": "suser_sname",
}  # fmt: skip
# Reserved words that may open an expression as functions do.
_FUNCTION_WORDS = {"left", "right", "coalesce", "nullif", "convert", "try_convert", "user", "identity"}
_MAX_DEPTH = 100


class Cursor:
    """A position in the tokens of a batch."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.index = 0
        self.depth = 0
        self.token = self.tokens[0]
        self.declared: dict[str, SqlType] = {}
        self.declared_tables: set[str] = set()
        self.free: dict[str, int] = {}

    def advance(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.index += 1
            self.token = self.tokens[self.index]
        return token

    def peek(self, ahead: int = 1) -> Token:
        return self.tokens[min(self.index + ahead, len(self.tokens) - 1)]

    def at(self, *keys: str) -> bool:
        return self.token.key in keys if self.token.key else False

    def at_words(self, *words: str) -> bool:
        """Whether these words follow one another here."""
        return all(self.peek(ahead).key == word for ahead, word in enumerate(words))

    def take(self, *words: str) -> bool:
        """Step over these words if they are here."""
        if not self.at_words(*words):
            return False
        for _ in words:
            self.advance()
        return True

    def expect(self, *words: str) -> None:
        for word in words:
            if self.token.key != word:
                self.fail()
            self.advance()

    def fail(self) -> NoReturn:
        token = self.token
        if token.kind == "end":
            token = self.tokens[max(0, self.index - 1)]
            raise errors.syntax(token.value, token.line)
        if token.reserved:
            raise errors.syntax(token.text, token.line, keyword=True)
        raise errors.syntax(token.text if token.kind == "op" else token.value, token.line)

    def refuse(self, what: str) -> NoReturn:
        error = errors.unsupported(what)
        error.line = self.token.line
        raise error

    def at_identifier(self) -> bool:
        return self.token.kind == "name" or (self.token.kind == "word" and not self.token.reserved)

    def identifier(self) -> str:
        if not self.at_identifier():
            self.fail()
        return self.advance().value

    def integer(self) -> int:
        negative = self.take("-")
        if self.token.kind != "number" or not self.token.text.isdigit():
            self.fail()
        return -int(self.advance().text) if negative else int(self.advance().text)

    def use_variable(self, token: Token) -> str:
        if token.value not in self.declared and token.value not in self.declared_tables:
            self.free.setdefault(token.value, token.line)
        return token.value

    def object_name(self) -> nodes.ObjectName:
        if self.token.kind == "variable" and not self.token.value.startswith("@@"):
            return nodes.ObjectName(self.use_variable(self.advance()))
        parts = [self.identifier()]
        while self.at("."):
            self.advance()
            parts.append("" if self.at(".") else self.identifier())
        if len(parts) > 3:
            self.refuse(f"four-part names ({'.'.join(parts)})")
        return nodes.ObjectName(*reversed(parts))

    def data_type(self, default_length: int = 1) -> SqlType:
        names = [self.identifier()] if not self.at("national", "double") else [self.advance().key]
        while self.at("."):
            self.advance()
            names.append(self.identifier())
        name = names[-1].lower()
        if name == "double":
            self.expect("precision")
            name = "float"
        if name in ("char", "varchar", "nchar", "nvarchar", "character") and self.take("varying"):
            name = "varchar"
        arguments: list[int] = []
        if self.at("("):
            self.advance()
            while not self.at(")"):
                arguments.append(types.MAX if self.take("max") else self.integer())
                if not self.take(","):
                    break
            self.expect(")")
        return types.make(name, tuple(arguments), default_length)


class ExpressionParser(Cursor):
    """Precedence, loosest first: OR, AND, NOT, predicates, + - & ^ |, * / %, signs, primary."""

    def query(self) -> nodes.Query:  # pragma: no cover - given by the query parser
        raise NotImplementedError

    def condition(self) -> nodes.Expr:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise SqlError(191, 15, "Some part of your SQL statement is nested too deeply.", line=self.token.line)
        left = self._conjunction()
        while self.take("or"):
            left = nodes.Logical("OR", left, self._conjunction())
        self.depth -= 1
        return left

    def _conjunction(self) -> nodes.Expr:
        left = self._negation()
        while self.take("and"):
            left = nodes.Logical("AND", left, self._negation())
        return left

    def _negation(self) -> nodes.Expr:
        if self.take("not"):
            return nodes.Not(self._negation())
        return self._predicate()

    def _predicate(self) -> nodes.Expr:
        if self.at_words("exists", "("):
            self.advance()
            return nodes.Exists(self._parenthesised_query())
        left = self.expression()
        if self.token.key in _COMPARISONS:
            op = _COMPARISONS[self.advance().key]
            if self.at("any", "some", "all"):
                self.refuse(f"comparison with {self.token.text.upper()} (subquery)")
            return nodes.Compare(op, left, self.expression())
        if self.take("is"):
            negated = self.take("not")
            self.expect("null")
            return nodes.IsNull(left, negated)
        negated = self.at("not") and self.peek().key in ("in", "between", "like") and self.take("not")
        return self._predicate_tail(left, negated)

    def _predicate_tail(self, left: nodes.Expr, negated: bool) -> nodes.Expr:
        if self.take("between"):
            low = self.expression()
            self.expect("and")
            return nodes.Between(left, low, self.expression(), negated)
        if self.take("like"):
            pattern = self.expression()
            escape = self.expression() if self.take("escape") else None
            return nodes.Like(left, pattern, escape, negated)
        if self.take("in"):
            if self.at_words("(", "select") or self.at_words("(", "with"):
                return nodes.InQuery(left, self._parenthesised_query(), negated)
            self.expect("(")
            items = self._list()
            self.expect(")")
            return nodes.InList(left, items, negated)
        return left

    def _list(self) -> tuple[nodes.Expr, ...]:
        items = [self.expression()]
        while self.take(","):
            items.append(self.expression())
        return tuple(items)

    def _parenthesised_query(self) -> nodes.Query:
        self.expect("(")
        query = self.query()
        self.expect(")")
        return query

    def expression(self) -> nodes.Expr:
        left = self._term()
        while self.at("+", "-", "&", "|", "^"):
            left = nodes.Binary(self.advance().key, left, self._term())
        return left

    def _term(self) -> nodes.Expr:
        left = self._signed()
        while self.at("*", "/", "%"):
            left = nodes.Binary(self.advance().key, left, self._signed())
        return left

    def _signed(self) -> nodes.Expr:
        if self.at("-", "+", "~"):
            op = self.advance().key
            operand = self._signed()
            if op == "+":
                return operand
            if op == "-" and isinstance(operand, nodes.Literal) and operand.value is not None:
                return _negated(operand)
            return nodes.Unary(op, operand)
        operand = self._primary()
        while self.at("collate"):
            self.advance()
            operand = nodes.Collate(operand, self.identifier())
        if self.at_words("at", "time", "zone"):
            self.refuse("AT TIME ZONE")
        return operand

    def _primary(self) -> nodes.Expr:
        token = self.token
        if token.kind in ("number", "money", "string", "nstring", "binary"):
            return literal(self.advance())
        if token.kind == "variable":
            self.advance()
            return (
                nodes.Global(token.value) if token.value.startswith("@@") else nodes.Variable(self.use_variable(token))
            )
        if token.key == "(":
            return self._parenthesised()
        if token.key == "null":
            self.advance()
            return nodes.Literal(None, types.INT)
        if token.key == "case":
            return self._case()
        if token.key in _NILADIC and self.peek().key != "(":
            self.advance()
            return nodes.Function(_NILADIC[token.key], ())
        if self.at_identifier() or token.key in _FUNCTION_WORDS:
            return self._name_or_call()
        return self.fail()

    def _parenthesised(self) -> nodes.Expr:
        if self.at_words("(", "select") or self.at_words("(", "with"):
            return nodes.Subquery(self._parenthesised_query())
        self.expect("(")
        inner = self.condition()
        self.expect(")")
        return inner

    def _case(self) -> nodes.Expr:
        self.expect("case")
        operand = None if self.at("when") else self.expression()
        whens = []
        while self.take("when"):
            test = self.condition() if operand is None else self.expression()
            self.expect("then")
            whens.append((test, self.expression()))
        if not whens:
            self.fail()
        otherwise = self.expression() if self.take("else") else None
        self.expect("end")
        return nodes.Case(operand, tuple(whens), otherwise)

    def _name_or_call(self) -> nodes.Expr:
        if self.peek().key == "(":
            return self._call(self.advance())
        parts = [self.advance().value]
        while self.at("."):
            self.advance()
            if self.at("*"):
                self.advance()
                return nodes.Star(tuple(parts))
            parts.append(self.identifier() if not self.at(".") else "")
        if self.at("("):
            self.refuse(f"the function {'.'.join(parts)}")
        return nodes.ColumnRef(tuple(parts[:-1]), parts[-1])

    def _call(self, token: Token) -> nodes.Expr:
        name = token.value.lower()
        self.expect("(")
        if name in ("cast", "try_cast"):
            operand = self.expression()
            self.expect("as")
            sql_type = self.data_type(30)
            self.expect(")")
            return nodes.Cast(operand, sql_type, None, name == "try_cast")
        if name in ("convert", "try_convert"):
            sql_type = self.data_type(30)
            self.expect(",")
            operand = self.expression()
            style = self.expression() if self.take(",") else None
            self.expect(")")
            return nodes.Cast(operand, sql_type, style, name == "try_convert")
        if name == "iif":
            test = self.condition()
            self.expect(",")
            then, otherwise = self._pair()
            return nodes.Case(None, ((test, then),), otherwise)
        return self._plain_call(name)

    def _pair(self) -> tuple[nodes.Expr, nodes.Expr]:
        first = self.expression()
        self.expect(",")
        second = self.expression()
        self.expect(")")
        return first, second

    def _plain_call(self, name: str) -> nodes.Expr:
        distinct, star = self.take("distinct"), False
        arguments: tuple[nodes.Expr, ...] = ()
        if name in ("dateadd", "datediff", "datediff_big", "datepart", "datename", "datetrunc"):
            part = self.identifier().lower()
            self.expect(",")
            arguments = (nodes.Literal(part, types.varchar(30)), *self._list())
        elif self.at("*"):
            self.advance()
            star = True
        elif not self.at(")"):
            arguments = self._list()
        if name == "trim" and self.at("from"):
            self.refuse("TRIM (characters FROM string)")
        self.expect(")")
        within: tuple[nodes.OrderItem, ...] = ()
        if self.take("within", "group"):
            self.expect("(")
            within = self.order_by()
            self.expect(")")
        over = self._over() if self.at("over") else None
        return nodes.Function(name, arguments, distinct, star, over, within)

    def order_by(self) -> tuple[nodes.OrderItem, ...]:
        self.expect("order", "by")
        items = [self._order_item()]
        while self.take(","):
            items.append(self._order_item())
        return tuple(items)

    def _order_item(self) -> nodes.OrderItem:
        expression = self.expression()
        descending = self.take("desc")
        if not descending:
            self.take("asc")
        return nodes.OrderItem(expression, descending)

    def _over(self) -> nodes.Over:
        self.expect("over", "(")
        partition: tuple[nodes.Expr, ...] = ()
        if self.take("partition", "by"):
            partition = self._list()
        order = self.order_by() if self.at("order") else ()
        frame = []
        while not self.at(")"):
            if self.token.kind not in ("word", "number"):
                self.fail()
            frame.append(self.advance().text.upper())
        self.expect(")")
        return nodes.Over(partition, order, " ".join(frame))


def _negated(operand: nodes.Literal) -> nodes.Expr:
    if isinstance(operand.value, int | float):
        return nodes.Literal(-operand.value, operand.type)
    if types.family(operand.type) == "decimal":
        return nodes.Literal(f"-{operand.value}", operand.type)
    return nodes.Unary("-", operand)


def literal(token: Token) -> nodes.Literal:
    """A constant with the type that T-SQL gives it."""
    if token.kind == "string":
        return nodes.Literal(token.value, types.varchar(len(token.value)))
    if token.kind == "nstring":
        return nodes.Literal(token.value, types.nvarchar(len(token.value)))
    if token.kind == "binary":
        digits = token.text[2:]
        data = bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
        return nodes.Literal(data, SqlType("varbinary", length=max(1, len(data))))
    if token.kind == "money":
        whole, _, fraction = token.text[1:].partition(".")
        return nodes.Literal(f"{int(whole)}.{fraction:0<4.4}", types.MONEY)
    if "e" in token.text.lower():
        return nodes.Literal(float(token.text), types.FLOAT)
    whole, point, fraction = token.text.partition(".")
    if not point and int(whole) <= types.INTEGERS["int"][1]:
        return nodes.Literal(int(whole), types.INT)
    whole = whole.lstrip("0")
    precision = max(1, len(whole) + len(fraction))
    text = f"{whole or 0}.{fraction}" if fraction else whole or "0"
    return nodes.Literal(text, SqlType("numeric", precision=min(38, precision), scale=len(fraction)))

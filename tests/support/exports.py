"""Exports as five people have them, each with what is odd in its kind."""

import gzip
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zipfile import ZipFile


@dataclass(frozen=True)
class Export:
    """Files of one kind: their names and contents; keys of the config beside what is proposed."""

    files: dict[str, bytes]
    clients: int
    names: tuple[str, ...]  # some clients that are ranked or tested
    keys: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Client:
    number: int
    age: int
    balance: float
    months: int
    plan: str
    left: bool


def _clients(count: int, seed: int) -> Iterator[_Client]:
    lot = random.Random(seed)
    for number in range(count):
        age, months = lot.randint(18, 80), lot.randint(0, 60)
        balance, plan = round(lot.lognormvariate(7, 1), 2), lot.choice(["basic", "plus", "pro"])
        left = (months < 20) + (plan == "basic") + 1.5 * lot.random() > 1.8
        yield _Client(number, age, balance, months, plan, left)


def german_excel() -> Export:
    """Excel's CSV in Germany: titles, a total, and all numbers as people there write them."""
    lines = ["Kundenliste;;;;;;", "Stand: 30.11.2026;;;;;;", ""]
    lines.append("Kundennr;Firma;Alter;Umsatz EUR;Laufzeit Monate;Tarif;Gekündigt")
    total = 0.0
    for each in _clients(500, 1):
        total += each.balance
        age = "k.A." if each.number % 9 == 0 else each.age
        firm = f'"Müller & Söhne; Nr. {each.number}"'
        known = f"{_german(each.balance)} €;{each.months};{each.plan}"
        lines.append(f"{each.number + 1:06d};{firm};{age};{known};{'ja' if each.left else 'nein'}")
    lines.append(f"Summe;;;{_german(total)} €;;;")
    content = "\r\n".join([*lines, ""]).encode("cp1252")
    return Export({"kunden.csv": content}, 500, ("000001", "000500"))


def _german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def american_crm() -> Export:
    """All quoted, amounts as money, shares in percent, dates of the United States."""
    lines = ['"Account ID","Account Name","Revenue","Discount","Employees","Industry","Churned?"']
    for each in _clients(500, 2):
        cells = (
            *(f"0015g{each.number:07X}AAB", f'Acme ""Best"" {each.number}, Inc.'),
            "-" if each.number % 7 == 0 else f"${each.balance * 100:,.2f}",
            *(f"{each.months}%", f"{each.age * 100:,}.5", each.plan.title(), "NY"[each.left]),
        )
        lines.append(",".join(f'"{cell}"' for cell in cells))
    content = "\n".join([*lines, ""]).encode()
    return Export({"accounts.csv": content}, 500, ("0015g0000000AAB",))


def billing_lists() -> Export:
    """Full lists of three nights, compressed, from which clients disappear."""
    files = {}
    for night in range(3):
        lines = ["CUST_NO|PLAN|MRR|TENURE|OPEN_TICKETS"]
        for each in _clients(500, 3):
            if not (each.left and night > each.number % 3):
                lines.append(
                    f"{each.number:08d}|{each.plan}|{each.balance:.2f}|{each.months}|{each.age % 5}"
                )
        content = gzip.compress("\n".join([*lines, ""]).encode(), mtime=0)
        files[f"full_{night}.csv.gz"] = content
    return Export(files, 500, ("00000001",), {"input": "snapshots", "absent": "left"})


def survey() -> Export:
    """Questions for a header, tabs, UTF-16, and answers in words."""
    lines = ["Respondent\tHow many months with us?\tSatisfied?\tMonthly spend\tWill you stay?"]
    for each in _clients(500, 4):
        satisfied = {"basic": "Not at all", "plus": "Somewhat", "pro": "N/A"}[each.plan]
        stays = "Leaving" if each.left else "Staying"
        lines.append(f"R-{each.number}\t{each.months}\t{satisfied}\t{each.balance}\t{stays}")
    content = "\r\n".join([*lines, ""]).encode("utf-16")
    return Export({"survey.txt": content}, 500, ("R-0", "R-499"))


def database_dump() -> Export:
    """A dump in an archive: time stamps, `\\N` for null, t and f."""
    lines = ["id,created_at,plan,balance,tenure,is_deleted"]
    for each in _clients(500, 5):
        plan = "\\N" if each.number % 11 == 0 else each.plan
        balance = "\\N" if each.number % 13 == 0 else each.balance
        made = f"2025-{1 + each.number % 12:02d}-{1 + each.number % 28:02d} 10:00:00"
        lines.append(
            f"{1000 + each.number},{made},{plan},{balance},{each.months},{'ft'[each.left]}"
        )
    target = io.BytesIO()
    with ZipFile(target, "w") as archive:
        archive.writestr("public.clients.csv", "\n".join([*lines, ""]))
    return Export({"dump.zip": target.getvalue()}, 500, ("1000", "1499"))


EXPORTS = (german_excel, american_crm, billing_lists, survey, database_dump)

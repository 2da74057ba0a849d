"""The picture of the house: who imports whom, read from the sources, so that lazy imports count too."""

import ast
from pathlib import Path

import pytest

import course_utils
from tests.running import ROOT, answer

# A room imports only rooms on lines below its own; modules of one room import each other, without a cycle.
STOREYS = (
    {"panels", "exercises"},
    {"plots", "budget", "checkup"},
    {"sequences", "packing", "waiting"},
    {"sources", "augmentation", "normalisation", "threads", "notebook", "strays"},
    {"images", "dataset", "order"},
    {"decoding"},
    {"memory", "formats", "png", "resizing", "scratch"},
    {"checks"},
)
# Whoever else wants one of these goes through the room that has it.
LIBRARIES = {
    "ipywidgets": {"panels"},
    "keras": {"sequences", "waiting", "budget", "checkup", "exercises"},  # one exercise builds a model
    "matplotlib": {"panels", "plots"},
    "PIL": {"images", "decoding", "resizing", "exercises"},  # one exercise draws files
    "cv2": {"augmentation", "png", "resizing"},
    "isal": {"png"},
    "psutil": {"memory"},
    "tensorflow": set(),
}
PACKAGE = ROOT / "course_utils"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Names of the standard library that begin with an underscore, and are documented all the same.
DOCUMENTED = {("os", "_exit"), ("sys", "_getframe"), ("sys", "_current_frames")}
FRONT = "course_utils"  # lists the names, and imports rooms when asked


def imports_of(module: str, path: Path):
    """The (module, name) pairs that a module imports; the name is "" where it imports a module whole."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
            base = parts[: len(parts) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield (inner, "") if inner in MODULES else (source, alias.name)


IMPORTS = {module: list(imports_of(module, path)) for module, path in MODULES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if module.startswith("course_utils.") else ""


def test_every_room_has_its_storey():
    rooms = {room(module) for module in MODULES} - {""}
    assert rooms == set().union(*STOREYS) and sum(map(len, STOREYS)) == len(rooms)


@pytest.mark.parametrize("module", [module for module in MODULES if module != FRONT])
def test_a_room_imports_only_rooms_below_it(module):
    storey = {name: level for level, names in enumerate(STOREYS) for name in names}
    for imported, _ in IMPORTS[module]:
        assert imported != FRONT, "from the room, not from the front door"
        below = room(imported)
        if below and below != room(module):
            assert storey[below] > storey[room(module)], f"{module} imports {imported}"


def test_no_module_imports_itself_in_a_circle():
    clear = set()

    def visit(module: str, path: tuple[str, ...]):
        assert module not in path, " -> ".join([*path, module])
        for imported, _ in IMPORTS.get(module, ()):
            if imported in MODULES and imported not in clear:
                visit(imported, (*path, module))
        clear.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("path", [*MODULES.values(), *ROOT.glob("data_scripts/*.py")], ids=lambda p: p.stem)
def test_no_private_name_crosses_a_module(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for imported, name in imports_of(module, path):
        assert not name.startswith("_"), f"{imported}.{name}"
    # Neither as an attribute: `_name` may follow `self`, `cls` and what this module defines, no module.
    whole = {
        alias.asname or alias.name.split(".")[-1]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            assert owner not in whole or (owner, node.attr) in DOCUMENTED, f"{owner}.{node.attr}"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_by_its_room_alone(library):
    users = {
        room(module)
        for module, found in IMPORTS.items()
        for imported, _ in found
        if imported.split(".")[0] == library
    }
    assert users == LIBRARIES[library]


def test_the_light_rooms_bring_no_heavy_library():
    """What a child process pays for: measured, not read."""
    light = (
        "checks memory order dataset images sources augmentation normalisation budget notebook strays packing"
    )
    code = f"""
import json, sys
from importlib import import_module
for name in {[*light.split(), "exercises.ex03"]}:
    import_module("course_utils." + name)
print(json.dumps(sorted({{"keras", "tensorflow", "matplotlib", "ipywidgets"}} & set(sys.modules))))
"""
    assert answer(code) == []


def test_the_data_scripts_need_neither_keras_nor_tensorflow():
    for path in ROOT.glob("data_scripts/*.py"):
        libraries = {imported.split(".")[0] for imported, _ in imports_of(f"data_scripts.{path.stem}", path)}
        assert not libraries & {"keras", "tensorflow"}, path


def test_modules_stay_small():
    for path in [*MODULES.values(), *ROOT.glob("data_scripts/*.py")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        code = [line for line in lines if line.strip() and not line.strip().startswith("#")]
        assert len(code) <= (350 if path in MODULES.values() else 500), f"{path}: {len(code)} lines"


# The front door


def test_every_public_name_lives_where_the_front_door_says():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    seen_by_editors = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert sorted(seen_by_editors) == course_utils.__all__ == dir(course_utils)
    for name, home in seen_by_editors.items():
        here = getattr(course_utils, name)
        assert here.__module__.split(".")[:2] == ["course_utils", home], name
        assert here.__doc__, name


def test_the_front_door_names_every_room():
    words = course_utils.__doc__.replace(",", " ").split()
    assert set().union(*STOREYS) <= set(words)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'course_utils' has no attribute 'Standardise'"):
        course_utils.Standardise  # noqa: B018

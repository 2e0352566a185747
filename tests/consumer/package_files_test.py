#!/usr/bin/env python3
"""The files of other package managers and of the forge, as far as they can be checked without them:
the Conan recipes with a stand-in for Conan, the JSON of vcpkg, the workflow."""

import hashlib
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPONENTS = {"tls", "deflate", "json"}


def version():
    text = (ROOT / "include/pushhub/version.hpp").read_text(encoding="utf-8")
    return ".".join(re.findall(r"#define PUSHHUB_VERSION_[A-Z]+ (\d+)", text))


# ---- Conan ---------------------------------------------------------------------------------------


class Settings(types.SimpleNamespace):
    pass


class Component:
    """What Conan's cpp_info, or a component of it, has at the beginning."""

    def __init__(self):
        self.includedirs = ["include"]
        self.libdirs = ["lib"]
        self.bindirs = ["bin"]
        self.requires = []
        self.defines = []
        self.system_libs = []
        self.properties = {}

    def set_property(self, name, value):
        self.properties[name] = value


class CppInfo(Component):
    def __init__(self):
        super().__init__()
        self.components = Components()


class Components(dict):
    def __missing__(self, name):
        self[name] = Component()
        return self[name]


class FakeConan:
    """Modules with the functions that recipes import; `calls` is what they were called with."""

    def __init__(self):
        self.calls = []

        def record(name, answer=None):
            def function(*arguments, **named):
                self.calls.append((name, *arguments, named) if named else (name, *arguments))
                return answer

            return function

        def load(_recipe, path):
            return pathlib.Path(path).read_text(encoding="utf-8")

        self.modules = {
            "conan": {"ConanFile": object},
            "conan.tools": {},
            "conan.tools.build": {"check_min_cppstd": record("check_min_cppstd"),
                                  "can_run": record("can_run", True)},
            "conan.tools.cmake": {"CMake": object, "cmake_layout": record("cmake_layout")},
            "conan.tools.files": {"copy": record("copy"), "get": record("get"), "load": load},
            "conan.tools.layout": {"basic_layout": record("basic_layout")},
        }

    def load(self, path):
        """The recipe's module."""
        saved = {name: sys.modules.get(name) for name in self.modules}
        try:
            for name, content in self.modules.items():
                module = types.ModuleType(name)
                vars(module).update(content)
                sys.modules[name] = module
            specification = importlib.util.spec_from_file_location("recipe", path)
            module = importlib.util.module_from_spec(specification)
            before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
            specification.loader.exec_module(module)
            sys.dont_write_bytecode = before
            return module
        finally:
            for name, module in saved.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module


class Recipe:
    """What both recipes have in common: that in the root, and that for ConanCenter."""

    def setUp(self):
        self.conan = FakeConan()
        self.Recipe = self.conan.load(self.folder / "conanfile.py").PushhubConan

    def recipe(self, os_name="Linux", **options):
        recipe = self.Recipe()
        recipe.recipe_folder = str(self.folder)
        recipe.version = version()
        recipe.settings = Settings(os=os_name)
        own = {name: value for name, value in self.Recipe.default_options.items()
               if "/" not in name}
        recipe.options = types.SimpleNamespace(**{**own, **options})
        recipe.cpp_info = CppInfo()
        recipe.required = []
        recipe.requires = recipe.required.append
        return recipe

    def test_attributes(self):
        self.assertEqual(self.Recipe.name, "pushhub")
        self.assertEqual(self.Recipe.package_type, "header-library")
        self.assertEqual(self.Recipe.license, "BSL-1.0")
        self.assertEqual(set(self.Recipe.settings), {"os", "arch", "compiler", "build_type"})
        own = {"with_" + component for component in COMPONENTS}
        self.assertEqual(set(self.Recipe.options), own)
        for option in own:
            self.assertEqual(self.Recipe.options[option], [True, False])
            self.assertIs(self.Recipe.default_options[option], False)
        self.assertTrue(self.Recipe.no_copy_source)

    def test_requirements(self):
        recipe = self.recipe()
        recipe.requirements()
        # In this order: WebSocket++ may want a certain Asio, and the range after it takes that one.
        base = ["websocketpp/0.8.2", self.asio]
        self.assertEqual(recipe.required, base)
        for option, wanted in (("with_tls", self.openssl),
                               ("with_deflate", "zlib/[>=1.2.11 <2]"),
                               ("with_json", "rapidjson/cci.20250205")):
            recipe = self.recipe(**{option: True})
            recipe.requirements()
            self.assertEqual(recipe.required, base + [wanted])

    def test_one_package_for_all(self):
        recipe = self.recipe()
        cleared = []
        recipe.info = types.SimpleNamespace(clear=lambda: cleared.append(True))
        recipe.package_id()
        self.assertEqual(cleared, [True])

    def test_wants_cpp17(self):
        recipe = self.recipe()
        recipe.validate()
        self.assertEqual(self.conan.calls, [("check_min_cppstd", recipe, 17)])

    def test_packages_headers_and_licence(self):
        recipe = self.recipe()
        recipe.source_folder, recipe.package_folder = "from", "to"
        recipe.package()
        copied = {call[2:] for call in self.conan.calls if call[0] == "copy"}
        self.assertEqual(copied, {
            ("LICENSE", "from", str(pathlib.Path("to/licenses"))),
            ("*.hpp", str(pathlib.Path("from/include")), str(pathlib.Path("to/include")))})

    def test_targets_are_those_of_our_own_package(self):
        recipe = self.recipe(with_tls=True, with_deflate=True, with_json=True)
        recipe.package_info()
        properties = recipe.cpp_info.properties
        self.assertEqual(properties["cmake_file_name"], "pushhub")
        self.assertEqual(properties["cmake_config_version_compat"], "SameMinorVersion")
        components = recipe.cpp_info.components
        targets = {name: component.properties["cmake_target_name"]
                   for name, component in components.items()}
        self.assertEqual(targets, {"base": "pushhub::pushhub", "tls": "pushhub::tls",
                                   "deflate": "pushhub::deflate", "json": "pushhub::json"})
        # Conan's target of all components would bring everything to who links the base.
        self.assertNotIn(properties["cmake_target_name"], targets.values())
        for name, part in {"root": recipe.cpp_info, **components}.items():
            self.assertEqual((part.libdirs, part.bindirs), ([], []), name)
            self.assertEqual(part.includedirs, ["include"])
        names = {component.properties["pkg_config_name"] for component in components.values()}
        self.assertEqual(names, {"pushhub"} | {"pushhub-" + name for name in COMPONENTS})

        self.assertEqual(components["base"].defines, ["ASIO_STANDALONE"])
        required = {name: component.requires for name, component in components.items()}
        self.assertEqual(required, {
            "base": ["asio::asio", "websocketpp::websocketpp"],
            "tls": ["base", "openssl::ssl", "openssl::crypto"],
            "deflate": ["base", "zlib::zlib"],
            "json": ["base", "rapidjson::rapidjson"]})

    def test_only_what_was_asked_for(self):
        recipe = self.recipe()
        recipe.package_info()
        self.assertEqual(set(recipe.cpp_info.components), {"base"})
        for component in COMPONENTS:
            recipe = self.recipe(**{"with_" + component: True})
            recipe.requirements()
            recipe.package_info()
            self.assertEqual(set(recipe.cpp_info.components), {"base", component})
            # Conan insists that each requirement is some component's, and the other way round.
            packages = {required.split("/")[0] for required in recipe.required}
            used = {name.split("::")[0] for part in recipe.cpp_info.components.values()
                    for name in part.requires if "::" in name}
            self.assertEqual(packages, used)

    def test_system_libraries(self):
        for os_name, libraries in (("Linux", ["pthread"]), ("FreeBSD", ["pthread"]),
                                   ("Windows", ["ws2_32", "mswsock"]), ("Macos", [])):
            recipe = self.recipe(os_name=os_name)
            recipe.package_info()
            self.assertEqual(recipe.cpp_info.components["base"].system_libs, libraries, os_name)

    def test_test_package(self):
        folder = self.folder / "test_package"
        Recipe = self.conan.load(folder / "conanfile.py").PushhubTestConan
        recipe = Recipe()
        required, ran = [], []
        recipe.requires = required.append
        recipe.tested_reference_str = "pushhub/" + version()
        recipe.requirements()
        self.assertEqual(required, [recipe.tested_reference_str])
        recipe.cpp = types.SimpleNamespace(build=types.SimpleNamespace(bindir="bin"))
        recipe.run = lambda command, env: ran.append((command, env))
        recipe.test()
        self.assertEqual(ran, [(str(pathlib.Path("bin/test_package")), "conanrun")])


class OwnRecipe(Recipe, unittest.TestCase):
    folder = ROOT
    asio = "asio/[>=1.28 <2]"
    openssl = "openssl/[>=1.1.1 <5]"

    def test_version_is_that_of_the_header(self):
        recipe = self.recipe()
        recipe.set_version()
        self.assertEqual(recipe.version, version())
        self.assertRegex(recipe.version, r"^\d+\.\d+\.\d+$")

    def test_takes_websocketpp_without_its_dependencies(self):
        for option in ("asio", "with_openssl", "with_zlib"):
            self.assertIs(self.Recipe.default_options["websocketpp/*:" + option], False)

    def test_exports(self):
        for pattern in self.Recipe.exports_sources:
            self.assertTrue(list(ROOT.glob(pattern)), pattern)


class ConanCenterRecipe(Recipe, unittest.TestCase):
    """As its documentation wants it: versions without ranges, but for OpenSSL and zlib, and what the
    dependencies' options are is the consumer's affair."""

    folder = ROOT / "packaging/conan-center/all"
    asio = "asio/1.28.1"
    openssl = "openssl/[>=1.1.1 <4]"

    def test_form(self):
        self.assertEqual(self.Recipe.url, "https://github.com/conan-io/conan-center-index")
        self.assertFalse(hasattr(self.Recipe, "version"))
        self.assertEqual({name for name in self.Recipe.default_options if "/" in name}, set())
        program = (self.folder / "test_package/test_package.cpp").read_text(encoding="utf-8")
        self.assertLessEqual(len(program.splitlines()), 15)

    def fill(self, directory, changes=None):
        """packaging/conan_center.py with an archive as a release has it, but for the changes."""
        archive = pathlib.Path(directory) / "archive.tar.gz"
        files = {"x/LICENSE": "LICENSE", "x/include": "include", **(changes or {})}
        with tarfile.open(archive, "w:gz") as tar:
            for name, source in files.items():
                if source:
                    tar.add(ROOT / source, name)
        command = [sys.executable, ROOT / "packaging/conan_center.py", archive,
                   "https://example.org/x.tar.gz", "https://example.org", archive.parent / "recipe"]
        return archive, subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)

    def test_is_filled_in_for_a_release(self):
        with tempfile.TemporaryDirectory() as directory:
            archive, result = self.fill(directory)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            folder = archive.parent / "recipe"
            texts = {str(path.relative_to(folder)): path.read_text(encoding="utf-8")
                     for path in folder.rglob("*") if path.is_file()}
            self.assertEqual(set(texts), {"config.yml"} | {"all/" + name for name in (
                "conandata.yml", "conanfile.py", "test_package/CMakeLists.txt",
                "test_package/conanfile.py", "test_package/test_package.cpp")})
            self.assertNotIn("@", "".join(texts.values()))
            self.assertEqual(texts["config.yml"], f'versions:\n  "{version()}":\n    folder: all\n')
            checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
            self.assertEqual(texts["all/conandata.yml"],
                             f'sources:\n  "{version()}":\n'
                             '    url: "https://example.org/x.tar.gz"\n'
                             f'    sha256: "{checksum}"\n')

            Filled = self.conan.load(folder / "all/conanfile.py").PushhubConan
            self.assertEqual(Filled.homepage, "https://example.org")
            recipe = Filled()
            recipe.version = version()
            recipe.conan_data = {"sources": {version(): {"url": "u", "sha256": "s"}}}
            recipe.layout()
            recipe.source()
            recipe.build()
            self.assertEqual(self.conan.calls, [
                ("basic_layout", recipe, {"src_folder": "src"}),
                ("get", recipe, {"url": "u", "sha256": "s", "strip_root": True})])

    def test_refuses_an_archive_of_something_else(self):
        with tempfile.TemporaryDirectory() as directory:
            other = pathlib.Path(directory) / "version.hpp"
            other.write_text("#define PUSHHUB_VERSION_MAJOR 99\n", encoding="utf-8")
            for changes, message in (({"x/LICENSE": None}, "no x/LICENSE"),
                                     ({"LICENSE": "LICENSE"}, "not everything is in one folder"),
                                     ({"x/include/pushhub/version.hpp": other}, "has version 99")):
                _archive, result = self.fill(directory, changes)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(message, result.stderr)
                self.assertFalse((pathlib.Path(directory) / "recipe").exists())


# ---- vcpkg ---------------------------------------------------------------------------------------

IDENTIFIER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SEMANTIC = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")
RELAXED = re.compile(r"\d+(\.\d+)*")


def faults_of_manifest(manifest):
    """What vcpkg's schema demands of the fields that we use; other fields are faults."""
    faults = []

    def fields(where, value, required, optional):
        if not isinstance(value, dict):
            faults.append(f"{where}: is no object")
            return
        faults.extend(f"{where}: {name} is missing" for name in required if name not in value)
        faults.extend(f"{where}: unknown field {name}" for name in value
                      if name not in required and name not in optional and not name.startswith("$"))

    def identifier(where, value):
        if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
            faults.append(f"{where}: {value!r} is no identifier")

    def dependencies(where, values):
        for value in values:
            if isinstance(value, dict):
                fields(f"{where}: dependency", value, {"name"}, {"host", "features",
                                                                 "default-features"})
                value = value.get("name")
            identifier(where, value)

    fields("manifest", manifest, set(),
           {"name", "version", "version-semver", "port-version", "description", "homepage",
            "license", "dependencies", "features"})
    identifier("name", manifest.get("name"))
    versions = [name for name in manifest if name in ("version", "version-semver")]
    if len(versions) != 1:
        faults.append("not exactly one version")
    for name, form in (("version", RELAXED), ("version-semver", SEMANTIC)):
        if name in manifest and not form.fullmatch(manifest[name]):
            faults.append(f"{name}: {manifest[name]!r}")
    if not isinstance(manifest.get("description", ""), str):
        faults.append("description is no text")
    dependencies("dependencies", manifest.get("dependencies", []))
    for name, feature in manifest.get("features", {}).items():
        identifier("features", name)
        fields(name, feature, {"description"}, {"dependencies"})
        dependencies(name, feature.get("dependencies", []))
    return faults


class Vcpkg(unittest.TestCase):
    ports = ROOT / "cmake/vcpkg-ports"

    def read(self, path):
        return json.loads((ROOT / path).read_text(encoding="utf-8"))

    def test_manifests(self):
        for path in [ROOT / "vcpkg.json", *self.ports.glob("*/vcpkg.json")]:
            with self.subTest(path=path):
                self.assertEqual(faults_of_manifest(self.read(path)), [])

    def test_finds_faults(self):
        good = self.read("cmake/vcpkg-ports/pushhub/vcpkg.json")
        for change in ({"name": "Push_Hub"}, {"version-semver": "0.1"}, {"version": "0.1.0"},
                       {"licence": "BSL-1.0"}, {"dependencies": [{"host": True}]},
                       {"dependencies": ["Asio"]}, {"features": {"tls": {}}},
                       {"features": {"TLS": {"description": "x"}}}):
            with self.subTest(change=change):
                self.assertNotEqual(faults_of_manifest({**good, **change}), [])

    def test_versions(self):
        for path in ("vcpkg.json", "cmake/vcpkg-ports/pushhub/vcpkg.json"):
            self.assertEqual(self.read(path)["version-semver"], version(), path)

    def test_ports(self):
        pushhub = self.read("cmake/vcpkg-ports/pushhub/vcpkg.json")
        self.assertEqual(set(pushhub["features"]), COMPONENTS)
        self.assertEqual({dependency if isinstance(dependency, str) else dependency["name"]
                          for dependency in pushhub["dependencies"]},
                         {"asio", "websocketpp", "vcpkg-cmake", "vcpkg-cmake-config"})
        for port in self.ports.iterdir():
            self.assertEqual(self.read(port / "vcpkg.json")["name"], port.name)
            portfile = (port / "portfile.cmake").read_text(encoding="utf-8")
            self.assertIn("vcpkg_install_copyright(", portfile)
            for checksum in re.findall(r"^ +SHA512 (\S+)", portfile, re.M):
                self.assertRegex(checksum, r"^[0-9a-f]{128}$")

    def test_configuration(self):
        configuration = self.read("vcpkg-configuration.json")
        self.assertLessEqual({name for name in configuration if not name.startswith("$")},
                             {"overlay-ports"})
        self.assertEqual([(ROOT / path).resolve() for path in configuration["overlay-ports"]],
                         [self.ports])


# ---- CMake ---------------------------------------------------------------------------------------


class FindModules(unittest.TestCase):
    def test_look_for_headers_that_are_included(self):
        included = set()
        for header in (ROOT / "include").rglob("*.hpp"):
            included.update(re.findall(r"#include <(.+)>", header.read_text(encoding="utf-8")))
        for package in ("RapidJSON", "WebSocketPP"):
            text = (ROOT / f"cmake/Find{package}.cmake").read_text(encoding="utf-8")
            self.assertIn(re.search(r"find_path\(\S+ (\S+)", text)[1], included)


# ---- the forge -----------------------------------------------------------------------------------


class Workflow(unittest.TestCase):
    def test_is_valid_and_names_what_exists(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("there is no yaml for this Python")
        text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        # YAML 1.1 takes the word `on` for true.
        self.assertEqual(set(workflow), {"name", True, "permissions", "jobs"})
        self.assertEqual(set(workflow["jobs"]), {"linux", "macos", "windows"})
        presets = {preset["name"] for preset in
                   json.loads((ROOT / "CMakePresets.json").read_text())["testPresets"]}
        for name, job in workflow["jobs"].items():
            self.assertIn("runs-on", job, name)
            for step in job["steps"]:
                self.assertEqual(len({"uses", "run"} & set(step)), 1, (name, step))
            for entry in job.get("strategy", {}).get("matrix", {}).get("include", []):
                self.assertIn(entry["preset"], presets)
        for script in re.findall(r"\.ci/\w+", text):
            self.assertTrue((ROOT / script).is_file(), script)


if __name__ == "__main__":
    unittest.main()

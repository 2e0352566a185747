"""pushhub for Conan 2: `conan create .`, or in a consumer `requires = "pushhub/[>=0.1 <0.2]"`."""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout

required_conan_version = ">=2.0"


class PushhubConan(ConanFile):
    name = "pushhub"
    description = "Header-only WebSocket push for C++ services"
    license = "BSL-1.0"
    topics = ("websocket", "push", "server", "asio", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {
        "with_tls": [True, False],
        "with_deflate": [True, False],
        "with_json": [True, False],
    }
    default_options = {
        "with_tls": False,
        "with_deflate": False,
        "with_json": False,
        # Only its protocol headers are used: no sockets, TLS or compression of its own.
        "websocketpp/*:asio": False,
        "websocketpp/*:with_openssl": False,
        "websocketpp/*:with_zlib": False,
    }
    exports_sources = "LICENSE", "include/*"
    no_copy_source = True

    def set_version(self):
        # The version stands in version.hpp only.
        text = load(self, os.path.join(self.recipe_folder, "include", "pushhub", "version.hpp"))
        parts = re.findall(r"#define PUSHHUB_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text)
        self.version = ".".join(parts)

    def layout(self):
        basic_layout(self)

    def requirements(self):
        # WebSocket++ first: with its own Asio it wants one version, which the range then takes.
        self.requires("websocketpp/0.8.2")
        self.requires("asio/[>=1.28 <2]")
        if self.options.with_tls:
            self.requires("openssl/[>=1.1.1 <5]")
        if self.options.with_deflate:
            self.requires("zlib/[>=1.2.11 <2]")
        if self.options.with_json:
            self.requires("rapidjson/cci.20250205")

    def package_id(self):
        # The same headers, whatever the settings and options.
        self.info.clear()

    def validate(self):
        check_min_cppstd(self, 17)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"),
             os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "pushhub")
        # Conan makes one target more, of all components; pushhub::pushhub has to be the base alone.
        self.cpp_info.set_property("cmake_target_name", "pushhub::all")
        # Until 1.0.0 a new minor version may change the interface.
        self.cpp_info.set_property("cmake_config_version_compat", "SameMinorVersion")
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []

        base = self._component("base", "pushhub", "pushhub::pushhub")
        base.requires = ["asio::asio", "websocketpp::websocketpp"]
        base.defines = ["ASIO_STANDALONE"]
        if self.settings.os in ("Linux", "FreeBSD"):
            base.system_libs = ["pthread"]
        elif self.settings.os == "Windows":
            base.system_libs = ["ws2_32", "mswsock"]
        if self.options.with_tls:
            tls = self._component("tls", "pushhub-tls", "pushhub::tls")
            tls.requires = ["base", "openssl::ssl", "openssl::crypto"]
        if self.options.with_deflate:
            deflate = self._component("deflate", "pushhub-deflate", "pushhub::deflate")
            deflate.requires = ["base", "zlib::zlib"]
        if self.options.with_json:
            json = self._component("json", "pushhub-json", "pushhub::json")
            json.requires = ["base", "rapidjson::rapidjson"]

    def _component(self, name, pkg_config_name, cmake_target_name):
        component = self.cpp_info.components[name]
        component.set_property("cmake_target_name", cmake_target_name)
        component.set_property("pkg_config_name", pkg_config_name)
        component.bindirs = []
        component.libdirs = []
        return component

// Writes the certificates of the TLS tests into a directory: make_certificates DIRECTORY

#include "support/certificates.hpp"

#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

using pushhub::test::Authority;
using pushhub::test::Identity;

namespace {

void write(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    if (!(file << text)) {
        throw std::runtime_error("cannot write " + path);
    }
}

void write(const std::string& path, const Identity& identity) {
    write(path + ".pem", identity.certificate);
    write(path + ".key", identity.key);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc != 2) {
            throw std::runtime_error("expected a directory");
        }
        const std::string directory = std::string(argv[1]) + "/";
        const Authority authority;
        const Authority stranger("stranger");
        const auto names = {"DNS:localhost", "IP:127.0.0.1"};
        write(directory + "ca.pem", authority.pem());
        write(directory + "good", authority.issue({{"CN", "localhost"}}, names));
        write(directory + "expired",
              authority.issue({{"CN", "localhost"}}, names, -std::chrono::hours(1)));
        write(directory + "elsewhere",
              authority.issue({{"CN", "elsewhere.example"}}, {"DNS:elsewhere.example"}));
        write(directory + "unknown", stranger.issue({{"CN", "localhost"}}, names));
        write(directory + "device", authority.issue({{"O", "Example"}, {"CN", "device 7"}}));
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "make_certificates: " << error.what() << '\n';
        return 1;
    }
}

#pragma once

// Headers of the PROXY protocol, as proxies send them.

#include <string>

namespace pushhub::test {

/// Version 2: `command` with the version (0x21: PROXY, 0x20: LOCAL), `family` (0x11: TCP over
/// IPv4), and what the length counts.
inline std::string proxyV2(unsigned command, unsigned family, const std::string& addresses) {
    std::string header("\r\n\r\n\0\r\nQUIT\n", 12);
    header += static_cast<char>(command);
    header += static_cast<char>(family);
    header += static_cast<char>(addresses.size() / 256);
    header += static_cast<char>(addresses.size() % 256);
    return header + addresses;
}

}  // namespace pushhub::test

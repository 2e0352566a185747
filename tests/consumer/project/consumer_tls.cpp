#include <openssl/crypto.h>

#include <iostream>

#include <pushhub/transport/asio_tls_transport.hpp>
#include <pushhub/version.hpp>

int main() {
    std::cout << pushhub::version << " with " << OpenSSL_version(OPENSSL_VERSION) << '\n';
    return 0;
}

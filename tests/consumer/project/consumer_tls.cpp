#include <openssl/crypto.h>

#include <iostream>

#include <pushhub/version.hpp>
#if __has_include(<pushhub/transport/asio_tls_transport.hpp>)
#include <pushhub/transport/asio_tls_transport.hpp>
#endif

int main() {
    std::cout << pushhub::version << " with " << OpenSSL_version(OPENSSL_VERSION) << '\n';
    return 0;
}

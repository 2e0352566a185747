// What is particular to TLS. What a hub promises otherwise is tested over it too, see harness.hpp.

#include "support/tls.hpp"
#include "support/any_port.hpp"
#include "support/catch.hpp"
#include "support/proxy_header.hpp"
#include "support/wait.hpp"

#include <sys/socket.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>

#include <pushhub/push_hub.hpp>

using namespace pushhub;
using namespace pushhub::test;
using namespace std::chrono_literals;
using Hub = PushHub<AsioTlsTransport>;

namespace {

// The reason why there is no session, 0 if there is one. That a client's certificate is refused, it
// learns behind its own side of the handshake (TLS 1.3).
int whyRefused(std::uint16_t port, const TlsClientOptions& options = {}) {
    try {
        SocketClient client = startTls(port, options);
        tlsOf(client).handshake(client);
        return client.handshake("/websocket/1") == 101 ? 0 : -1;
    } catch (const TlsError& error) {
        return error.reason;
    } catch (const std::system_error&) {
        return -2;  // the connection has ended while this client wrote
    }
}

// What the constructor says of options that are wrong.
std::string complaint(const TlsOptions& options) {
    try {
        Hub hub(Options(), options);
    } catch (const std::invalid_argument& error) {
        CHECK(ERR_peek_error() == 0);
        return error.what();
    }
    return "";
}

// Encrypts what OpenSSL would not send: records of TLS 1.3 with TLS_AES_128_GCM_SHA256.
class RecordForger {
public:
    /// `sent`: how many records the client has sent with this secret.
    RecordForger(const std::string& secret, unsigned char sent)
        : key_(expand(secret, "key", 16)), iv_(expand(secret, "iv", 12)), sequence_(sent) {}

    std::string handshakeRecord(std::string_view content) {
        std::string plain(content);
        plain += '\x16';  // the type of what is inside
        std::string record("\x17\x03\x03\0", 4);
        record += static_cast<char>(plain.size() + tagSize);
        std::string nonce = iv_;
        nonce.back() = static_cast<char>(nonce.back() ^ sequence_++);
        std::array<unsigned char, 64> out;
        int size = 0;
        const std::unique_ptr<EVP_CIPHER_CTX, detail::OpensslFree<EVP_CIPHER_CTX_free>> context(
            EVP_CIPHER_CTX_new());
        EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, bytes(key_), bytes(nonce));
        EVP_EncryptUpdate(context.get(), nullptr, &size, bytes(record),
                          static_cast<int>(record.size()));
        EVP_EncryptUpdate(context.get(), out.data(), &size, bytes(plain),
                          static_cast<int>(plain.size()));
        int more = 0;
        EVP_EncryptFinal_ex(context.get(), out.data() + size, &more);
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, tagSize,
                            out.data() + plain.size());
        return record.append(reinterpret_cast<const char*>(out.data()), plain.size() + tagSize);
    }

private:
    static constexpr int tagSize = 16;

    static const unsigned char* bytes(const std::string& text) {
        return reinterpret_cast<const unsigned char*>(text.data());
    }

    // HKDF-Expand-Label of RFC 8446, section 7.1, for up to 32 bytes.
    static std::string expand(const std::string& secret, std::string_view label, char size) {
        std::string info{'\0', size, static_cast<char>(6 + label.size())};
        info.append("tls13 ").append(label).append(std::string("\0\x01", 2));
        std::array<unsigned char, 32> hash;
        unsigned hashSize = 0;
        HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes(info), info.size(),
             hash.data(), &hashSize);
        return {reinterpret_cast<const char*>(hash.data()), static_cast<std::size_t>(size)};
    }

    const std::string key_;
    const std::string iv_;
    unsigned char sequence_;
};

// The same for TLS 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256, by RFC 5246 and RFC 5288.
class RecordForger12 {
public:
    /// `sent`: how many records the client has sent with these keys, its Finished included.
    RecordForger12(SSL* client, unsigned char sent) : sequence_(sent) {
        std::array<unsigned char, 48> secret;
        SSL_SESSION_get_master_key(SSL_get_session(client), secret.data(), secret.size());
        std::array<unsigned char, 64> seed;
        SSL_get_server_random(client, seed.data(), 32);
        SSL_get_client_random(client, seed.data() + 32, 32);
        const std::unique_ptr<EVP_PKEY_CTX, detail::OpensslFree<EVP_PKEY_CTX_free>> prf(
            EVP_PKEY_CTX_new_id(EVP_PKEY_TLS1_PRF, nullptr));
        EVP_PKEY_derive_init(prf.get());
        EVP_PKEY_CTX_set_tls1_prf_md(prf.get(), EVP_sha256());
        EVP_PKEY_CTX_set1_tls1_prf_secret(prf.get(), secret.data(), secret.size());
        EVP_PKEY_CTX_add1_tls1_prf_seed(
            prf.get(), reinterpret_cast<const unsigned char*>("key expansion"), 13);
        EVP_PKEY_CTX_add1_tls1_prf_seed(prf.get(), seed.data(), seed.size());
        std::size_t size = keys_.size();
        REQUIRE(EVP_PKEY_derive(prf.get(), keys_.data(), &size) == 1);
    }

    std::string handshakeRecord(std::string_view content) {
        std::array<unsigned char, 12> nonce{};
        std::copy_n(keys_.data() + 32, 4, nonce.data());  // behind both sides' keys
        std::array<unsigned char, 13> known{};  // what is authenticated, and not encrypted
        for (std::size_t i = 0; i < 8; ++i) {
            known[i] = nonce[4 + i] = static_cast<unsigned char>(sequence_ >> (56 - 8 * i));
        }
        ++sequence_;
        known[8] = 0x16;
        known[9] = known[10] = 3;
        known[12] = static_cast<unsigned char>(content.size());
        std::array<unsigned char, 64> out;
        int size = 0;
        int more = 0;
        EVP_CIPHER_CTX* const context = context_.get();
        EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nullptr, keys_.data(), nonce.data());
        EVP_EncryptUpdate(context, nullptr, &size, known.data(), 13);
        EVP_EncryptUpdate(context, out.data(), &size,
                          reinterpret_cast<const unsigned char*>(content.data()),
                          static_cast<int>(content.size()));
        EVP_EncryptFinal_ex(context, out.data() + size, &more);
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, out.data() + content.size());
        std::string record("\x16\x03\x03\0", 4);
        record += static_cast<char>(8 + content.size() + 16);
        record.append(reinterpret_cast<const char*>(nonce.data() + 4), 8);
        return record.append(reinterpret_cast<const char*>(out.data()), content.size() + 16);
    }

private:
    std::array<unsigned char, 40> keys_{};
    std::uint64_t sequence_;
    const std::unique_ptr<EVP_CIPHER_CTX, detail::OpensslFree<EVP_CIPHER_CTX_free>> context_{
        EVP_CIPHER_CTX_new()};
};

// Of the process: how many descriptors are open.
std::ptrdiff_t descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
}

void takeLittle(const SocketClient& client) {
    const int small = 4096;
    ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
}

#ifdef __GLIBC__
// Bytes that the process has from malloc, whichever thread asked; 0 with a sanitizer's.
std::size_t heapInUse() {
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* const file = ::open_memstream(&text, &size);
    ::malloc_info(0, file);
    std::fclose(file);
    const std::string xml(text, size);
    std::free(text);
    // The last of each is for all of it.
    const auto figure = [&](const std::string& name) {
        const std::size_t at = xml.rfind("type=\"" + name + "\"");
        return at == std::string::npos ? 0 : std::stoull(xml.substr(xml.find("size=", at) + 6));
    };
    return figure("current") + figure("mmap") - figure("fast") - figure("rest");
}
#endif

class TemporaryFile {
public:
    explicit TemporaryFile(std::string_view text)
        : path_((std::filesystem::temp_directory_path() / "pushhub_tls_XXXXXX").string()) {
        const int fd = ::mkstemp(path_.data());
        REQUIRE(fd >= 0);
        ::close(fd);
        std::ofstream(path_, std::ios::binary) << text;
    }
    ~TemporaryFile() { std::remove(path_.c_str()); }
    const std::string& path() const noexcept { return path_; }

private:
    std::string path_;
};

}  // namespace

TEST_CASE("TLS options that are wrong are named, with OpenSSL's reason", "[tls]") {
    using Catch::Contains;
    const Authority authority("other");
    const Identity one = authority.issue({{"CN", "one"}});
    const Identity two = authority.issue({{"CN", "two"}});
    TlsOptions options;
    CHECK_THAT(complaint(options), Contains("certificates is empty"));
    options.certificates = {one.forServer()};
    CHECK(complaint(options).empty());

    options.certificates.push_back({"/nonexistent/chain.pem", "key.pem"});
    CHECK_THAT(complaint(options), Contains("certificates[1].chainFile") &&
                                       Contains("\"/nonexistent/chain.pem\"") &&
                                       Contains("No such file"));
    options.certificates[1] = {"", "", one.certificate, two.key};
    CHECK_THAT(complaint(options),
               Contains("certificates[1].keyPem") && Contains("key values mismatch"));
    options.certificates[1] = {"", "", "rubbish", two.key};
    CHECK_THAT(complaint(options),
               Contains("certificates[1].chainPem") && Contains("no start line"));
    options.certificates[1] = {"", "", one.certificate, "rubbish"};
    CHECK_THAT(complaint(options), Contains("certificates[1].keyPem is not a private key"));
    options.certificates[1] = {"", "", one.certificate + one.certificate.substr(0, 100), one.key};
    CHECK_THAT(complaint(options), Contains("certificates[1].chainPem is not a certificate"));
    options.certificates[1] = {"", "", one.certificate, ""};
    CHECK_THAT(complaint(options), Contains("keyFile and certificates[1].keyPem are both empty"));
    options.certificates[1] = {"chain.pem", "", one.certificate, one.key};
    CHECK_THAT(complaint(options), Contains("chainPem are both set"));
    options.certificates.pop_back();

    for (const char* wrong : {"NO-SUCH-CIPHER", "", "TLS_AES_128_GCM_SHA256", "!ALL", ":"}) {
        TlsOptions other = options;
        other.ciphers = wrong;
        CHECK_THAT(complaint(other),
                   Contains("option ciphers is \"" + std::string(wrong) + "\", expected"));
    }
    for (const char* wrong : {"TLS_NO_SUCH_CIPHER", "", "ECDHE-RSA-AES128-GCM-SHA256", "DEFAULT"}) {
        TlsOptions other = options;
        other.ciphersuites = wrong;
        CHECK_THAT(complaint(other),
                   Contains("option ciphersuites is \"" + std::string(wrong) + "\", expected"));
    }

    options.clientCertificates = ClientCertificates::required;
    CHECK_THAT(complaint(options), Contains("clientCaFile and clientCaPem are both empty"));
    options.clientCaPem = "rubbish";
    CHECK_THAT(complaint(options), Contains("clientCaPem") && Contains("no start line"));
    options.clientCertificates = ClientCertificates::none;
    CHECK_THAT(complaint(options), Contains("clientCertificates is none"));
}

TEST_CASE("chain and key from files, in memory, or in one file", "[tls]") {
    const Authority root("root");
    const Authority between("between", &root);
    const Identity server = between.issue({{"CN", "x"}}, {"DNS:localhost"});
    const TemporaryFile chain(server.certificate + between.pem());
    const TemporaryFile key(server.key);
    const TemporaryFile both(server.key + server.certificate + between.pem());
    TlsClientOptions client;
    client.authority = &root;  // so the chain has to come from the server
    for (const TlsCertificate& certificate :
         {TlsCertificate{chain.path(), key.path()}, TlsCertificate{both.path(), both.path()},
          TlsCertificate{"", "", server.certificate + between.pem(), server.key}}) {
        TlsOptions options;
        options.certificates = {certificate};
        Hub hub(anyPort(), options);
        hub.start();
        CHECK(whyRefused(hub.port(), client) == 0);
        CHECK(whyRefused(hub.port()) == SSL_R_CERTIFICATE_VERIFY_FAILED);
    }
}

TEST_CASE("TLS 1.2 and 1.3, nothing older; forward secrecy, AES-128 first", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.start();
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        TlsClientOptions options;
        options.version = version;
        SocketClient client = connectTls(hub.port(), options);
        CHECK(client.handshake("/websocket/1") == 101);
        CHECK(SSL_version(tlsOf(client).ssl()) == version);
        CHECK(std::string(SSL_get_cipher(tlsOf(client).ssl())) ==
              (version == TLS1_2_VERSION ? "ECDHE-ECDSA-AES128-GCM-SHA256"
                                         : "TLS_AES_128_GCM_SHA256"));
        CHECK(SSL_get_current_compression(tlsOf(client).ssl()) == nullptr);
    }
    for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
        TlsClientOptions options;
        options.version = version;
        CHECK(whyRefused(hub.port(), options) == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    }
}

TEST_CASE("ciphers are those of the options", "[tls]") {
    TlsOptions options = testTlsOptions();
    options.certificates.push_back(
        testAuthority()
            .issue({{"CN", "localhost"}}, {"DNS:localhost"}, std::chrono::hours(1), EVP_PKEY_RSA)
            .forServer());
    TlsClientOptions cbc;
    cbc.version = TLS1_2_VERSION;
    cbc.ciphers = "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA";
    const auto cipher = [](const PushHub<AsioTlsTransport>& hub, const TlsClientOptions& client) {
        SocketClient socket = connectTls(hub.port(), client);
        CHECK(socket.handshake("/websocket/1") == 101);
        return std::string(SSL_get_cipher(tlsOf(socket).ssl()));
    };
    {
        Hub hub(anyPort(), options);
        hub.start();
        CHECK(whyRefused(hub.port(), cbc) == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
    }
    options.ciphers = "ECDHE+AESGCM:ECDHE-RSA-AES256-SHA384:DHE-RSA-AES128-GCM-SHA256";
    options.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
    Hub hub(anyPort(), options);
    hub.start();
    CHECK(cipher(hub, cbc) == "ECDHE-RSA-AES256-SHA384");
    TlsClientOptions client;
    CHECK(cipher(hub, client) == "TLS_CHACHA20_POLY1305_SHA256");
    client.version = TLS1_2_VERSION;
    client.ciphers = "DHE";
    CHECK(cipher(hub, client) == "DHE-RSA-AES128-GCM-SHA256");
}

TEST_CASE("TLS in single bytes", "[tls]") {
    Events<std::string> messages;
    Hub hub(anyPort(), testTlsOptions());
    hub.onMessage([&](SessionPtr session, std::string_view text) {
        messages.add(std::string(text));
        session->send(text);
    });
    hub.start();
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        TlsClientOptions options;
        options.version = version;
        options.piece = 1;
        SocketClient client = connectTls(hub.port(), options).opened("/websocket/1");
        const std::string text(300, 'x');
        client.sendText(text);
        client.sendText("short");
        CHECK(client.readText() == text);
        CHECK(client.readText() == "short");
        client.sendClose(CloseCode::normal);
        CHECK(client.readClose() == CloseCode::normal);
    }
    CHECK(messages.size() == 4);
}

TEST_CASE("a client that does not read for a while gets everything then", "[tls]") {
    Options options = anyPort();
    options.maxQueueBytes = std::size_t{64} << 20;
    Events<CloseInfo> ends;
    Hub hub(options, testTlsOptions());
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    SocketClient client = connectTls(hub.port()).opened("/websocket/1");
    REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));
    const SessionPtr session = hub.sessions("1").front();

    // Small ones that are joined, large ones that are cut into records, of its own and to all.
    std::vector<std::string> sent;
    std::minstd_rand random(1);
    for (std::size_t bytes = 0; bytes < std::size_t{24} << 20;) {
        const std::size_t size = random() % 10 == 0 ? random() % 200000 : random() % 300;
        sent.emplace_back(std::to_string(sent.size()) + ":" + std::string(size, 'x'));
        if (random() % 2 == 0) {
            hub.sendAll(sent.back());
        } else {
            REQUIRE(session->send(sent.back()));
        }
        bytes += size;
    }
    REQUIRE(eventually([&] { return session->bufferedBytes() > std::size_t{4} << 20; }));
    for (const std::string& text : sent) {
        REQUIRE(client.readText() == text);
    }
    CHECK(eventually([&] { return session->bufferedBytes() == 0; }));
    client.sendClose(CloseCode::normal);
    CHECK(client.readClose() == CloseCode::normal);
    REQUIRE(ends.waitFor(1));
    CHECK(ends.all().front().deliveredMessages == sent.size());
    CHECK(ends.all().front().undeliveredMessages == 0);
}

TEST_CASE("what a client has not got when it vanishes is told", "[tls]") {
    Options options = anyPort();
    options.maxQueueBytes = std::size_t{64} << 20;
    Events<CloseInfo> ends;
    Hub hub(options, testTlsOptions());
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    SocketClient client = connectTls(hub.port()).opened("/websocket/1");
    REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));
    const SessionPtr session = hub.sessions("1").front();
    constexpr std::uint64_t count = 2000;
    for (std::uint64_t i = 0; i < count; ++i) {
        REQUIRE(session->send(std::string(10000, 'x')));
    }
    REQUIRE(eventually([&] { return session->bufferedBytes() > 0; }));
    client.readText();
    client.disconnect(true);
    REQUIRE(ends.waitFor(1));
    const CloseInfo end = ends.all().front();
    CHECK(end.deliveredMessages > 0);
    CHECK(end.undeliveredMessages > 0);
    CHECK(end.deliveredMessages + end.undeliveredMessages == count);
}

TEST_CASE("the first certificate for the name that a client asks for, or the first of all",
          "[tls]") {
    const Authority& authority = testAuthority();
    TlsOptions options;
    options.certificates = {
        authority.issue({{"CN", "first"}}, {"DNS:localhost", "DNS:first.example"}).forServer(),
        authority.issue({{"CN", "Exact.Example"}}).forServer(),
        authority.issue({{"CN", "wild"}}, {"DNS:*.wild.example", "DNS:wild.example"}).forServer(),
        authority.issue({{"CN", "one"}}, {"DNS:one.wild.example", "DNS:first.example"})
            .forServer()};
    Hub hub(anyPort(), options);
    hub.start();
    const auto pick = [&](const char* name) {
        TlsClientOptions client;
        client.serverName = name;
        SocketClient socket = startTls(hub.port(), client);
        SSL_set_verify(tlsOf(socket).ssl(), SSL_VERIFY_NONE, nullptr);
        tlsOf(socket).handshake(socket);
        CHECK(socket.handshake("/websocket/1") == 101);
        return tlsOf(socket).peerName();
    };
    CHECK(pick(nullptr) == "first");
    CHECK(pick("localhost") == "first");
    CHECK(pick("first.example") == "first");
    CHECK(pick("exact.EXAMPLE") == "Exact.Example");
    CHECK(pick("a.wild.example") == "wild");
    CHECK(pick("A.WILD.example") == "wild");
    CHECK(pick("wild.example") == "wild");
    CHECK(pick("one.wild.example") == "one");
    CHECK(pick("a.b.wild.example") == "first");
    CHECK(pick("elsewhere.example") == "first");
    CHECK(pick(".wild.example") == "first");
    CHECK(pick(std::string(250, 'a').c_str()) == "first");
}

TEST_CASE("of several certificates for a name, the one whose key the client knows", "[tls]") {
    const auto issue = [](const char* commonName, std::initializer_list<const char*> names,
                          int keyType) {
        return testAuthority()
            .issue({{"CN", commonName}}, names, std::chrono::hours(1), keyType)
            .forServer();
    };
    const std::vector<TlsCertificate> all = {
        issue("ec", {"DNS:push.example", "DNS:www.push.example"}, EVP_PKEY_EC),
        issue("rsa", {"DNS:push.example", "DNS:www.push.example"}, EVP_PKEY_RSA),
        issue("other ec", {"DNS:push.example"}, EVP_PKEY_EC),
        issue("wild rsa", {"DNS:*.wild.example"}, EVP_PKEY_RSA),
        issue("wild ec", {"DNS:*.wild.example"}, EVP_PKEY_EC),
        issue("one ec", {"DNS:one.wild.example"}, EVP_PKEY_EC),
        issue("lone rsa", {"DNS:lone.example"}, EVP_PKEY_RSA),
    };
    const bool reversed = GENERATE(false, true);
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    TlsOptions options;
    options.certificates = all;
    if (reversed) {
        std::reverse(options.certificates.begin(), options.certificates.end());
    }
    Hub hub(anyPort(), options);
    hub.start();
    const auto pick = [&](const char* name, const char* signatures) -> std::string {
        TlsClientOptions client;
        client.serverName = name;
        client.signatures = signatures;
        client.version = version;
        SocketClient socket = startTls(hub.port(), client);
        SSL_set_verify(tlsOf(socket).ssl(), SSL_VERIFY_NONE, nullptr);
        try {
            tlsOf(socket).handshake(socket);
            CHECK(socket.handshake("/websocket/1") == 101);
            return tlsOf(socket).peerName();
        } catch (const TlsError&) {
            return "none";
        }
    };
    const char* const ecdsa = "ECDSA+SHA256";
    const char* const rsa = "RSA-PSS+SHA256";
    CHECK(pick("push.example", ecdsa) == (reversed ? "other ec" : "ec"));
    CHECK(pick("push.example", rsa) == "rsa");
    CHECK(pick("www.push.example", ecdsa) == "ec");
    CHECK(pick("www.push.example", rsa) == "rsa");
    CHECK(pick("a.wild.example", ecdsa) == "wild ec");
    CHECK(pick("a.wild.example", rsa) == "wild rsa");
    CHECK(pick("one.wild.example", ecdsa) == "one ec");
    CHECK(pick("one.wild.example", rsa) == "wild rsa");
    CHECK(pick("lone.example", ecdsa) == "none");
    CHECK(pick("lone.example", rsa) == "lone rsa");
    // Without a name: the first, and what is for the same names.
    CHECK(pick(nullptr, ecdsa) == (reversed ? "none" : "ec"));
    CHECK(pick(nullptr, rsa) == (reversed ? "lone rsa" : "rsa"));
}

TEST_CASE("client certificates", "[tls]") {
    const Authority authority("clients");
    const Authority between("department", &authority);
    const Authority stranger("strangers");
    const Identity device =
        authority.issue({{"C", "DE"}, {"O", "J\xC3\xBCrgen, Inc."}, {"CN", "device 7\nx"}});
    const Identity below = between.issue({{"CN", "no chain sent"}});
    const Identity foreign = stranger.issue({{"CN", "device 7"}});
    const Identity old = authority.issue({{"CN", "old"}}, {}, -1h);
    TlsOptions options = testTlsOptions();
    options.clientCaPem = authority.pem();
    Events<std::string> subjects;
    const auto whyRefusedWith = [](Hub& hub, const Identity* identity, int version) {
        TlsClientOptions client;
        client.identity = identity;
        client.version = version;
        return whyRefused(hub.port(), client);
    };
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        for (const bool required : {true, false}) {
            options.clientCertificates =
                required ? ClientCertificates::required : ClientCertificates::requested;
            Hub hub(anyPort(), options);
            hub.onHandshake([&](HandshakePtr handshake) {
                subjects.add(handshake->peerSubject());
                handshake->accept();
            });
            hub.onOpen([&](SessionPtr session) { subjects.add(session->peerSubject()); });
            hub.start();
            const std::size_t before = subjects.size();
            CHECK(whyRefusedWith(hub, &device, version) == 0);
            REQUIRE(subjects.waitFor(before + 2));
            // RFC 2253: backwards, on one line, in ASCII.
            const std::string subject = "CN=device 7\\0Ax,O=J\\C3\\BCrgen\\, Inc.,C=DE";
            CHECK(subjects.all()[before] == subject);
            CHECK(subjects.all()[before + 1] == subject);

            for (const Identity* bad : {&foreign, &below, &old}) {
                CHECK(whyRefusedWith(hub, bad, version) != 0);
            }
            if (required) {
                CHECK(whyRefusedWith(hub, nullptr, version) != 0);
                CHECK(subjects.size() == before + 2);
            } else {
                CHECK(whyRefusedWith(hub, nullptr, version) == 0);
                REQUIRE(subjects.waitFor(before + 4));
                CHECK(subjects.all().back().empty());
            }
        }
    }
    // The alert says what is wrong.
    options.clientCertificates = ClientCertificates::required;
    Hub hub(anyPort(), options);
    hub.start();
    CHECK(whyRefusedWith(hub, nullptr, TLS1_2_VERSION) == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
    CHECK(whyRefusedWith(hub, &foreign, TLS1_2_VERSION) == SSL_R_TLSV1_ALERT_UNKNOWN_CA);
    CHECK(whyRefusedWith(hub, &old, TLS1_2_VERSION) == SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED);
}

TEST_CASE("a client that is not asked has no subject", "[tls]") {
    const Identity device = testAuthority().issue({{"CN", "device"}});
    TlsClientOptions client;
    client.identity = &device;
    Events<std::string> subjects;
    Hub hub(anyPort(), testTlsOptions());
    hub.onOpen([&](SessionPtr session) { subjects.add(session->peerSubject()); });
    hub.start();
    CHECK(whyRefused(hub.port(), client) == 0);
    REQUIRE(subjects.waitFor(1));
    CHECK(subjects.all().front().empty());
}

TEST_CASE("certificates change while sessions live", "[tls]") {
    const auto optionsFor = [](const char* name) {
        TlsOptions options;
        options.certificates = {
            testAuthority().issue({{"CN", name}}, {"DNS:localhost"}).forServer()};
        return options;
    };
    Hub hub(anyPort(), optionsFor("old"));
    hub.onMessage([](SessionPtr session, std::string_view text) { session->send(text); });
    hub.start();
    SocketClient waiting = startTls(hub.port());  // connects before, shakes hands after
    SocketClient before = connectTls(hub.port()).opened("/websocket/1");
    CHECK(tlsOf(before).peerName() == "old");

    TlsOptions wrong = optionsFor("wrong");
    wrong.certificates.front().keyPem = "rubbish";
    CHECK_THROWS_AS(hub.transport().reload(wrong), std::invalid_argument);
    CHECK(tlsOf(connectTls(hub.port())).peerName() == "old");

    hub.transport().reload(optionsFor("new"));
    tlsOf(waiting).handshake(waiting);
    CHECK(tlsOf(waiting).peerName() == "new");
    CHECK(tlsOf(connectTls(hub.port())).peerName() == "new");
    before.sendText("still here");
    CHECK(before.readText() == "still here");

    // From any thread, while clients come and go.
    std::atomic<bool> over{false};
    std::thread reloader([&] {
        for (int i = 0; !over; ++i) {
            hub.transport().reload(optionsFor(i % 2 ? "odd" : "even"));
        }
    });
    for (int i = 0; i < 50; ++i) {
        SocketClient client = connectTls(hub.port()).opened("/websocket/2");
        client.sendText("x");
        CHECK(client.readText() == "x");
    }
    over = true;
    reloader.join();
    before.sendText("even now");
    CHECK(before.readText() == "even now");
}

TEST_CASE("ALPN: http/1.1 or nothing", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.start();
    const auto chosen = [&](std::vector<const char*> protocols) {
        TlsClientOptions options;
        options.protocols = std::move(protocols);
        SocketClient client = connectTls(hub.port(), options).opened("/websocket/1");
        const unsigned char* name = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(tlsOf(client).ssl(), &name, &size);
        return std::string(reinterpret_cast<const char*>(name), size);
    };
    CHECK(chosen({}).empty());
    CHECK(chosen({"http/1.1"}) == "http/1.1");
    CHECK(chosen({"h2", "http/1.1"}) == "http/1.1");
    TlsClientOptions options;
    options.protocols = {"h2", "http/1.0", "http/1.12"};
    CHECK(whyRefused(hub.port(), options) == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
}

TEST_CASE("a client that comes back resumes its TLS session", "[tls]") {
    const Authority authority("clients");
    const Identity device = authority.issue({{"CN", "device"}});
    TlsOptions options = testTlsOptions();
    options.certificates.push_back(
        testAuthority().issue({{"CN", "other"}}, {"DNS:other.example"}).forServer());
    const bool withCertificate = GENERATE(false, true);
    if (withCertificate) {
        options.clientCertificates = ClientCertificates::required;
        options.clientCaPem = authority.pem();
    }
    Events<std::string> subjects;
    Hub hub(anyPort(), options);
    hub.onOpen([&](SessionPtr session) {
        subjects.add(session->peerSubject());
        session->send("hello");
    });
    hub.start();
    TlsClientOptions client;
    client.version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    client.serverName = GENERATE("localhost", "other.example");
    client.identity = &device;
    CAPTURE(withCertificate, client.version, client.serverName);
    SessionTicket ticket;
    for (const bool again : {false, true, true}) {
        client.resume = again ? &ticket : nullptr;
        SocketClient socket = connectTls(hub.port(), client).opened("/websocket/1");
        CHECK(socket.readText() == "hello");
        CHECK((SSL_session_reused(tlsOf(socket).ssl()) == 1) == again);
        SessionTicket next = tlsOf(socket).takeTicket();
        if (next) {
            ticket = std::move(next);
        }
        REQUIRE(ticket);
    }
    REQUIRE(subjects.waitFor(3));
    for (const std::string& subject : subjects.all()) {
        CHECK(subject == (withCertificate ? "CN=device" : ""));
    }
    // Who was trusted before is not trusted on his word after a reload.
    hub.transport().reload(options);
    SocketClient socket = connectTls(hub.port(), client).opened("/websocket/1");
    CHECK(SSL_session_reused(tlsOf(socket).ssl()) == 0);
}

TEST_CASE("renegotiation is refused", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.onMessage([](SessionPtr session, std::string_view text) { session->send(text); });
    hub.start();
    TlsClientOptions options;
    options.version = TLS1_2_VERSION;
    SocketClient client = connectTls(hub.port(), options).opened("/websocket/1");
    SSL_renegotiate(tlsOf(client).ssl());
    try {
        tlsOf(client).handshake(client);
        FAIL("renegotiated");
    } catch (const TlsError& error) {
        CHECK(error.reason == SSL_R_NO_RENEGOTIATION);
    }
}

TEST_CASE("new keys while data flows", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.onMessage([](SessionPtr session, std::string_view text) { session->send(text); });
    hub.start();
    TlsClientOptions options;
    options.version = TLS1_3_VERSION;
    SocketClient client = connectTls(hub.port(), options).opened("/websocket/1");
    for (int i = 0; i < 20; ++i) {
        SSL_key_update(tlsOf(client).ssl(),
                       i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
        client.sendText(std::to_string(i));
        CHECK(client.readText() == std::to_string(i));
    }
}

TEST_CASE("half a message of TLS keeps the hub from writing, not from anything else", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.start();
    TlsClientOptions options;
    options.version = TLS1_3_VERSION;
    SocketClient client = connectTls(hub.port(), options).opened("/websocket/1");
    REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));
    const SessionPtr session = hub.sessions("1").front();
    RecordForger forger(tlsOf(client).trafficSecret(), 1);  // behind the request
    REQUIRE(session->send("before"));
    CHECK(client.readText() == "before");

    // KeyUpdate, which asks for new keys (RFC 8446, section 4.6.3), without its last byte.
    client.sendRaw(forger.handshakeRecord(std::string_view("\x18\0\0\x01", 4)));
    REQUIRE(eventually([&] {  // until the hub has read it
        session->send("x");
        return client.nothingComes(100ms) || client.readText() != "x";
    }));
    CHECK(session->bufferedBytes() == 3);
    const std::clock_t before = std::clock();
    CHECK(client.nothingComes(200ms));
    CHECK(std::clock() - before < CLOCKS_PER_SEC / 10);  // nobody tries again and again
    client.sendRaw(forger.handshakeRecord("\x01"));
    CHECK(client.readText() == "x");
    CHECK(eventually([&] { return session->bufferedBytes() == 0; }));
}

TEST_CASE("an orderly end has a close_notify, a cut has none", "[tls]") {
    Options options = anyPort();
    options.closeTimeout = 100ms;
    Hub hub(options, testTlsOptions());
    hub.onMessage([](SessionPtr session, std::string_view) { session->close(); });
    hub.start();
    SECTION("the client closes") {
        SocketClient client = connectTls(hub.port()).opened("/websocket/1");
        client.sendClose(CloseCode::normal);
        CHECK(client.readClose() == CloseCode::normal);
        client.waitForEnd();
        CHECK(tlsOf(client).gotCloseNotify());
    }
    SECTION("the hub closes") {
        SocketClient client = connectTls(hub.port()).opened("/websocket/1");
        client.sendText("close");
        CHECK(client.readClose() == CloseCode::normal);
        client.sendClose(CloseCode::normal);
        client.waitForEnd();
        CHECK(tlsOf(client).gotCloseNotify());
    }
    SECTION("an HTTP answer") {
        SocketClient client = connectTls(hub.port());
        CHECK(client.handshake("/elsewhere") == 404);
        client.waitForEnd();
        CHECK(tlsOf(client).gotCloseNotify());
    }
    SECTION("the client does not answer") {
        SocketClient client = connectTls(hub.port()).opened("/websocket/1");
        client.sendText("close");
        CHECK(client.readClose() == CloseCode::normal);
        client.waitForEnd();
        CHECK_FALSE(tlsOf(client).gotCloseNotify());
    }
}

TEST_CASE("who never answers a close_notify, or does not even read it, is closed in time",
          "[tls]") {
    if (!std::filesystem::exists("/proc/self/fd")) {
        return;  // not to be seen then
    }
    Options options = anyPort();
    options.closeTimeout = 200ms;
    options.maxQueueBytes = std::size_t{64} << 20;
    Events<CloseInfo> ends;
    Hub hub(options, testTlsOptions());
    hub.onMessage([](SessionPtr session, std::string_view) { session->close(); });
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    const std::ptrdiff_t before = descriptors();
    SocketClient client = connectTls(hub.port()).opened("/websocket/1");
    REQUIRE(descriptors() == before + 2);
    SECTION("closed by the client, which stays") {
        client.sendClose(CloseCode::normal);
        CHECK(client.readClose() == CloseCode::normal);
        client.waitForEnd();
        CHECK(tlsOf(client).gotCloseNotify());
        REQUIRE(ends.waitFor(1));
        CHECK(ends.all().front().clean);
    }
    SECTION("an HTTP answer that is not read to its end") {
        client = connectTls(hub.port());
        client.sendBytes(handshakeRequest("/elsewhere"));
    }
    SECTION("the hub closes, nothing is read") {
        takeLittle(client);
        const SessionPtr session = hub.sessions("1").front();
        for (int i = 0; i < 1000; ++i) {
            REQUIRE(session->send(std::string(20'000, 'x')));
        }
        REQUIRE(eventually([&] { return hub.stats().slowSessions == 1; }));
        client.sendText("close");
        REQUIRE(ends.waitFor(1));
        const CloseInfo end = ends.all().front();
        CHECK_FALSE(end.clean);
        CHECK(end.undeliveredMessages > 0);
        CHECK(end.deliveredMessages + end.undeliveredMessages == 1000);
    }
    CHECK(eventually([&] { return descriptors() == before + 1; }));  // the client's
}

TEST_CASE("answers of TLS itself that nobody reads end the session", "[tls]") {
    Events<CloseInfo> ends;
    Hub hub(anyPort(), testTlsOptions());
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    TlsClientOptions options;
    options.version = TLS1_2_VERSION;
    SocketClient client = connectTls(hub.port(), options).opened("/websocket/1");
    takeLittle(client);
    RecordForger12 forger(tlsOf(client).ssl(), 2);  // behind Finished and the request
    // The beginning of a ClientHello: each is refused with an alert.
    try {
        for (int kilobytes = 0; kilobytes < 64 * 1024; ++kilobytes) {
            std::string records;
            while (records.size() < 1024) {
                records += forger.handshakeRecord(std::string_view("\x01\0\0\0", 4));
            }
            client.sendRaw(records);
        }
        FAIL("the hub keeps as many alerts as the client wants");
    } catch (const std::system_error&) {
        // cut while it wrote
    }
    REQUIRE(ends.waitFor(1));
    CHECK(ends.all().front().error == std::errc::no_buffer_space);
}

#ifdef __GLIBC__
TEST_CASE("slow readers cost what the limits say, and accounts are exact", "[tls]") {
    constexpr std::size_t sessions = 20;
    constexpr std::size_t piece = 256 * 1024;  // of what is encrypted
    Options options = anyPort();
    options.maxQueueBytes = 256 * 1024;
    options.whenQueueFull = OverflowPolicy::dropNewest;
    Events<CloseInfo> ends;
    Hub hub(options, testTlsOptions());
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    std::vector<SocketClient> clients;
    for (std::size_t i = 0; i < sessions; ++i) {
        clients.push_back(connectTls(hub.port()).opened("/websocket/" + std::to_string(i)));
        takeLittle(clients.back());
    }
    REQUIRE(eventually([&] { return hub.sessionCount() == sessions; }));
    const std::size_t before = heapInUse();
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    // Until the sockets take no more and each queue is full.
    const std::string text(10'000, 'x');
    CHECK(eventually([&] {
        bool full = hub.stats().slowSessions == sessions;
        for (std::size_t i = 0; i < sessions; ++i) {
            const SendResult result = hub.sendOne(std::to_string(i), text);
            accepted += result.accepted;
            refused += result.refused;
            full = full && result.refused > 0;
        }
        return full;
    }));
    CHECK(refused > 0);
    CHECK(heapInUse() < before + sessions * (options.maxQueueBytes + piece));
    clients.clear();
    REQUIRE(ends.waitFor(sessions));
    std::uint64_t accounted = 0;
    for (const CloseInfo& end : ends.all()) {
        accounted += end.deliveredMessages + end.droppedMessages + end.undeliveredMessages;
    }
    CHECK(accounted == accepted);
}
#endif

TEST_CASE("TLS handshakes that fail are in the log, with the reason and the address", "[tls]") {
    const Authority authority("clients");
    const Authority stranger("stranger");
    const Identity unknown = stranger.issue({{"CN", "device-8"}});
    Events<std::string> logged;
    Options options = anyPort();
    options.handshakeTimeout = 500ms;
    TlsOptions tlsOptions = testTlsOptions();
    tlsOptions.clientCertificates = ClientCertificates::requested;
    tlsOptions.clientCaPem = authority.pem();
    Hub hub(options, tlsOptions);
    hub.onLog([&](const LogRecord& record) {
        if (record.level != LogLevel::debug && record.event != "started") {
            std::string line =
                std::string(toString(record.level)) + " " + std::string(record.event);
            for (const LogField& field : record) {
                line.append(" ").append(field.name).append("=").append(field.value);
            }
            logged.add(line);
        }
    });
    hub.start();
    { SocketClient silent(hub.port()); }
    TlsClientOptions client;
    client.version = TLS1_1_VERSION;
    CHECK(whyRefused(hub.port(), client) != 0);
    client = {};
    client.version = TLS1_2_VERSION;
    client.ciphers = "AES128-SHA";
    CHECK(whyRefused(hub.port(), client) != 0);
    client = {};
    client.authority = &stranger;
    CHECK(whyRefused(hub.port(), client) != 0);
    client = {};
    client.protocols = {"h2"};
    CHECK(whyRefused(hub.port(), client) != 0);
    client = {};
    client.identity = &unknown;
    CHECK(whyRefused(hub.port(), client) != 0);
    REQUIRE(logged.waitFor(5));
    SocketClient plain(hub.port());
    plain.sendBytes("GET / HTTP/1.1\r\n\r\n");
    plain.waitForEnd();
    REQUIRE(logged.waitFor(6));
    {
        SocketClient early = startTls(hub.port());
        early.sendRaw("\x16\x03\x01\x02");
    }
    REQUIRE(logged.waitFor(7));
    SocketClient half = startTls(hub.port());
    half.sendRaw("\x16\x03\x01\x02");
    REQUIRE(logged.waitFor(8));
    const std::vector<std::string> expected = {
        "unsupported protocol",
        "no shared cipher",
        "alert unknown ca",
        "no application protocol",
        "certificate verify failed: ",
        "status=400 reason=this port speaks TLS",
        "the client left",
        "handshakeTimeout",
    };
    const std::vector<std::string> all = logged.all();
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const bool answered = expected[i].substr(0, 6) == "status";
        CHECK_THAT(all[i], Catch::StartsWith(answered ? "info handshake refused "
                                                      : "info TLS handshake failed reason=") &&
                               Catch::Contains(expected[i]) &&
                               Catch::Contains(" address=127.0.0.1:"));
    }
    SocketClient good = connectTls(hub.port()).opened("/websocket/1");
    CHECK(logged.size() == expected.size());
    CHECK(hub.stats().handshakesTlsFailed == expected.size());
}

TEST_CASE("a header of the PROXY protocol comes before TLS", "[tls]") {
    Events<std::string> failed;
    Options options = anyPort();
    options.proxyProtocol = true;
    options.trustedProxies = {"127.0.0.1"};
    Hub hub(options, testTlsOptions());
    hub.onLog([&](const LogRecord& record) {
        for (const LogField& field : record) {
            if (record.level == LogLevel::info && field.name == "address") {
                failed.add(std::string(record.event) + " " + std::string(field.value));
            }
        }
    });
    hub.start();
    const std::string line = "PROXY TCP4 192.0.2.1 127.0.0.1 51234 443\r\n";
    const std::string addresses("\xc0\x00\x02\x01\x7f\x00\x00\x01\xc8\x22\x01\xbb", 12);
    for (const std::string& header : {line, proxyV2(0x21, 0x11, addresses)}) {
        SocketClient client = startTls(hub.port());
        client.sendRaw(header.substr(0, 5));
        client.sendRaw(header.substr(5));
        tlsOf(client).handshake(client);
        CHECK(client.handshake("/websocket/1") == 101);
        REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));
        CHECK(hub.sessions("1").front()->remoteAddress() == "192.0.2.1:51234");
        hub.sendAll("x");
        CHECK(client.readText() == "x");
        client.disconnect();
        REQUIRE(eventually([&] { return hub.sessionCount() == 0; }));
    }
    // The header and what follows at once.
    SocketClient plain(hub.port());
    plain.sendBytes(line + handshakeRequest("/websocket/1"));
    CHECK(plain.readStatus() == 400);
    REQUIRE(failed.waitFor(2));  // the first is the start
    CHECK(failed.all().back() == "handshake refused 192.0.2.1:51234");
    CHECK_THROWS(connectTls(hub.port()));  // without a header
    REQUIRE(failed.waitFor(3));
    CHECK(failed.all().back().substr(0, 31) == "PROXY header refused 127.0.0.1:");
}

TEST_CASE("TLS handshakes that fail are counted", "[tls]") {
    const Authority stranger("stranger");
    Options options = anyPort();
    options.handshakeTimeout = 200ms;
    Hub hub(options, testTlsOptions());
    options.path = "/other/{userId}";
    Hub other(hub, options);
    hub.start();
    other.start();
    std::uint64_t failed = 0;
    const auto isCounted = [&] {
        return eventually([&] {
            return hub.stats().handshakesTlsFailed == failed &&
                   other.stats().handshakesTlsFailed == failed;
        });
    };
    SocketClient good = connectTls(hub.port()).opened("/websocket/1");
    std::string unread;
    CHECK_FALSE(startTls(hub.port()).readRaw(unread));  // says nothing
    CHECK(connectTls(hub.port()).readStatus() == 408);
    CHECK(isCounted());
    TlsClientOptions client;
    client.version = TLS1_1_VERSION;
    CHECK(whyRefused(hub.port(), client) != 0);
    ++failed;
    CHECK(isCounted());
    client.version = 0;
    client.authority = &stranger;
    CHECK(whyRefused(hub.port(), client) == SSL_R_CERTIFICATE_VERIFY_FAILED);
    ++failed;
    CHECK(isCounted());
    SocketClient plain(hub.port());
    plain.sendBytes(handshakeRequest("/websocket/1"));
    CHECK(plain.readStatus() == 400);
    ++failed;
    CHECK(isCounted());
    SocketClient half = startTls(hub.port());
    half.sendRaw("\x16\x03\x01\x02");
    ++failed;
    CHECK(isCounted());  // too slow
    CHECK(hub.stats().handshakesAccepted == 1);
}

TEST_CASE("the client's end without a close frame, with close_notify or without", "[tls]") {
    Events<CloseInfo> ends;
    Hub hub(anyPort(), testTlsOptions());
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    SocketClient client = connectTls(hub.port()).opened("/websocket/1");
    SECTION("close_notify") {
        tlsOf(client).sendCloseNotify(client);
        client.waitForEnd();
    }
    SECTION("truncation") {
        client.disconnect();
    }
    SECTION("truncation within a record") {
        client.sendRaw("\x17\x03\x03\x01");
        client.disconnect();
    }
    REQUIRE(ends.waitFor(1));
    CHECK(ends.all().front().error == Errc::connectionLost);
    CHECK_FALSE(ends.all().front().clean);
}

TEST_CASE("what a client said before its end is heard, though it takes turns", "[tls]") {
    constexpr std::size_t count = 8'000;
    Events<std::string> texts;
    Events<std::size_t> ends;  // how many texts came before
    Options options = anyPort();
    options.loops = 1;
    Hub hub(options, testTlsOptions());
    hub.onMessage([&](SessionPtr, std::string_view text) { texts.add(std::string(text)); });
    hub.onClose([&](SessionPtr, CloseInfo) { ends.add(texts.size()); });
    hub.start();
    SocketClient client = connectTls(hub.port()).opened("/websocket/1");
    std::string frames;
    for (std::size_t i = 0; i < count; ++i) {
        frames += clientFrame(protocol::Opcode::text, "");
    }
    client.sendBytes(frames);
    tlsOf(client).sendCloseNotify(client);
    REQUIRE(ends.waitFor(1));
    CHECK(ends.all().front() == count);
}

TEST_CASE("what a hook leaves among OpenSSL's errors harms no session", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.onMessage([](SessionPtr session, std::string_view text) {
        const detail::BioPtr none(BIO_new_file("no such file", "r"));
        session->send(none ? "there is such a file" : text);
    });
    hub.start();
    SocketClient client = connectTls(hub.port()).opened("/websocket/1");
    for (const char* text : {"one", "two", "three"}) {
        client.sendText(text);
        CHECK(client.readText() == text);
    }
}

TEST_CASE("what is not TLS is cut, and hurts nobody", "[tls]") {
    Events<CloseInfo> ends;
    Hub hub(anyPort(), testTlsOptions());
    hub.onMessage([](SessionPtr session, std::string_view text) { session->send(text); });
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    SocketClient good = connectTls(hub.port()).opened("/websocket/1");
    SECTION("plain HTTP") {
        const std::string request =
            GENERATE(handshakeRequest("/websocket/1"), std::string("POST / HTTP/1.1\r\n\r\n"),
                     std::string("OPTIONS * HTTP/1.1\r\n\r\n"),
                     std::string("PRI * HTTP/2.0\r\n\r\n"), std::string("get / http/1.0\r\n\r\n"),
                     std::string("G"), "PUT / HTTP/1.1\r\n\r\n" + std::string(300'000, 'x'));
        SocketClient client(hub.port());
        client.sendBytes(request.substr(0, 1));
        client.sendBytes(request.substr(1));
        CHECK(client.readStatus() == 400);
        client.waitForEnd();
        CHECK_THAT(client.takeBytes(), Catch::Contains("this port speaks TLS"));
    }
    SECTION("other text") {
        for (const std::string& text :
             {std::string("SSH-2.0-OpenSSH\r\n"), std::string("a\x01\x02\x03\x04\x05\x06"),
              std::string("\r\nGET / HTTP/1.1\r\n\r\n"), std::string(33, 'x')}) {
            SocketClient client(hub.port());
            client.sendBytes(text);
            client.waitForEnd();
            CHECK_THAT(client.takeBytes(), !Catch::Contains("HTTP"));
        }
    }
    SECTION("rubbish") {
        std::minstd_rand random(1);
        for (int i = 0; i < 200; ++i) {
            SocketClient client(hub.port());
            std::string bytes = i % 2 ? "\x16\x03\x01" : "";
            for (auto left = random() % 2000; left > 0; --left) {
                bytes += static_cast<char>(random() % 256);
            }
            client.sendBytes(bytes);
            client.disconnect();
        }
    }
    SECTION("rubbish within a session") {
        SocketClient client = connectTls(hub.port()).opened("/websocket/2");
        client.sendRaw(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
        CHECK_THROWS_AS(client.waitForEnd(), TlsError);  // the alert bad_record_mac
        REQUIRE(ends.waitFor(1));
        CHECK(ends.all().front().error == Errc::tlsFailed);
    }
    good.sendText("x");
    CHECK(good.readText() == "x");
}

TEST_CASE("the deadline of the handshake includes TLS", "[tls]") {
    Options options = anyPort();
    options.handshakeTimeout = 200ms;
    Hub hub(options, testTlsOptions());
    hub.start();
    SocketClient silent = startTls(hub.port());
    std::string unread;
    CHECK_FALSE(silent.readRaw(unread));
    CHECK(unread.empty());

    SocketClient half = startTls(hub.port());
    half.sendRaw("\x16\x03\x01\x02");
    CHECK_FALSE(half.readRaw(unread));

    SocketClient mute = connectTls(hub.port());
    CHECK(mute.readStatus() == 408);
    mute.waitForEnd();
    CHECK(tlsOf(mute).gotCloseNotify());
}

TEST_CASE("stop does not wait for TLS handshakes", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.start();
    SocketClient silent = startTls(hub.port());
    SocketClient half = startTls(hub.port());
    half.sendRaw("\x16\x03\x01");
    SocketClient open = connectTls(hub.port()).opened("/websocket/1");
    const auto before = Clock::now();
    std::thread stopping([&] { hub.stop(10s); });
    CHECK(open.readClose() == CloseCode::goingAway);
    open.sendClose(CloseCode::goingAway);
    stopping.join();
    CHECK(Clock::now() - before < 5s);
    std::string unread;
    CHECK_FALSE(silent.readRaw(unread));
}

TEST_CASE("a page from https on the default port has the same origin", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.start();
    const auto status = [&](const char* origin) {
        return connectTls(hub.port())
            .handshake("/websocket/1", "Origin: " + std::string(origin) + "\r\n");
    };
    CHECK(status("https://localhost") == 101);  // Host: localhost
    CHECK(status("https://localhost:443") == 101);
    CHECK(status("https://localhost:8443") == 403);
    CHECK(status("https://elsewhere.example") == 403);
}

TEST_CASE("a socket that is handed over begins with TLS", "[tls]") {
    Hub hub(anyPort(), testTlsOptions());
    hub.onMessage([](SessionPtr session, std::string_view text) { session->send(text); });
    hub.start();
    detail::net::io_context context;
    asio::ip::tcp::acceptor other(context, {asio::ip::make_address("127.0.0.1"), 0});
    SocketClient client = startTls(other.local_endpoint().port());
    SSL_do_handshake(tlsOf(client).ssl());
    tlsOf(client).flush(client);
    asio::ip::tcp::socket socket = other.accept();
    std::string received(100, '\0');  // a part of the ClientHello
    asio::read(socket, asio::buffer(received));
    hub.transport().adopt(socket.release(), received);
    tlsOf(client).handshake(client);
    CHECK(client.handshake("/websocket/1") == 101);
    client.sendText("x");
    CHECK(client.readText() == "x");
}

TEST_CASE("TLS in the host's io_context", "[tls]") {
    detail::net::io_context context;
    auto work = detail::net::make_work_guard(context);
    std::thread runner([&] { context.run(); });
    {
        Hub hub(anyPort(), testTlsOptions(), context);
        hub.onMessage([](SessionPtr session, std::string_view text) { session->send(text); });
        hub.start();
        SocketClient client = connectTls(hub.port()).opened("/websocket/1");
        client.sendText("x");
        CHECK(client.readText() == "x");
        client.disconnect();
        hub.stop();
    }
    work.reset();
    runner.join();
}

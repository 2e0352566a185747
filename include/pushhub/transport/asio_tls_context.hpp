#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/http/syntax.hpp>
#include <pushhub/tls_options.hpp>

namespace pushhub::detail {

template <auto Function>
struct OpensslFree {
    template <class T>
    void operator()(T* object) const noexcept {
        Function(object);
    }
};
using SslPtr = std::unique_ptr<SSL, OpensslFree<SSL_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;

/// OpenSSL with one set of TLS options. Does not change any more, so that any thread may make
/// connections with it.
class TlsContext {
public:
    explicit TlsContext(const TlsOptions& options) {
        if (options.certificates.empty()) {
            throw std::invalid_argument(
                "pushhub: option certificates is empty, expected at least one");
        }
        for (std::size_t i = 0; i < options.certificates.size(); ++i) {
            contexts_.push_back(makeContext(options, options.certificates[i],
                                            "certificates[" + std::to_string(i) + "]."));
        }
        // What the macro SSL_CTX_set_tlsext_servername_callback does, with a cast of C in it.
        SSL_CTX_callback_ctrl(contexts_.front().get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                              reinterpret_cast<void (*)()>(&chooseCertificate));
        SSL_CTX_set_tlsext_servername_arg(contexts_.front().get(), this);
        ERR_clear_error();
    }

    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;

    /// The server's side of a new connection, null without memory. It must not outlive this object.
    SslPtr makeSsl() const noexcept {
        SslPtr ssl(SSL_new(contexts_.front().get()));
        if (ssl) {
            SSL_set_accept_state(ssl.get());
        }
        return ssl;
    }

private:
    [[noreturn]] static void fail(const std::string& option, const std::string& why) {
        ERR_clear_error();
        throw std::invalid_argument("pushhub: option " + option + why);
    }

    // What OpenSSL complained of first; the rest of its queue is what that led to.
    [[noreturn]] static void failOpenssl(const std::string& option, const std::string& what) {
        const unsigned long error = ERR_get_error();
        const char* reason = ERR_reason_error_string(error);
        fail(option, what + ": " + (reason ? reason : "OpenSSL error " + std::to_string(error)));
    }

    // PEM from one of two options: its text, and how messages call it.
    struct Pem {
        std::string option;
        std::string text;

        BioPtr open() const {
            BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
            if (!bio) {
                failOpenssl(option, " cannot be read");
            }
            return bio;
        }
    };

    static Pem readPem(const std::string& prefix, const char* fileOption, const std::string& file,
                       const char* pemOption, const std::string& pem) {
        constexpr std::size_t maxSize = 16 * 1024 * 1024;
        if (file.empty() == pem.empty()) {
            fail(prefix + fileOption, " and " + prefix + pemOption + " are both " +
                                          (file.empty() ? "empty" : "set") + ", expected one");
        }
        Pem result{prefix + pemOption, pem};
        if (pem.empty()) {
            result.option = prefix + fileOption + " is \"" + file + "\", which";
            errno = 0;
            std::ifstream in(file, std::ios::binary);
            result.text.assign(std::istreambuf_iterator<char>(in), {});
            if (!in) {
                const std::string why = std::generic_category().message(errno);
                fail(result.option, " cannot be read" + (errno != 0 ? ": " + why : std::string()));
            }
        }
        if (result.text.size() > maxSize) {
            fail(result.option, " is too long");
        }
        return result;
    }

    static std::vector<X509Ptr> readCertificates(const Pem& pem) {
        const BioPtr bio = pem.open();
        std::vector<X509Ptr> certificates;
        while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, &noPassword, nullptr)) {
            certificates.emplace_back(next);
        }
        const bool atEnd = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        if (certificates.empty() || !atEnd) {
            failOpenssl(pem.option, " is not a certificate in PEM");
        }
        ERR_clear_error();
        return certificates;
    }

    // The default asks at the terminal.
    static int noPassword(char*, int, int, void*) noexcept { return -1; }

    SslContextPtr makeContext(const TlsOptions& options, const TlsCertificate& certificate,
                              const std::string& prefix) {
        ERR_clear_error();
        SslContextPtr made(SSL_CTX_new(TLS_server_method()));
        SSL_CTX* const context = made.get();
        // AES-128 before AES-256 for speed, and ChaCha20 for clients that put it first.
        if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
            SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20") !=
                1 ||
            SSL_CTX_set_ciphersuites(context,
                                     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                     "TLS_CHACHA20_POLY1305_SHA256") != 1) {
            failOpenssl("certificates", " cannot be used");
        }
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_PRIORITIZE_CHACHA);
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
        SSL_CTX_set_alpn_select_cb(context, &chooseProtocol, nullptr);
        // Clients resume with tickets, which cost the server no memory.
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        static constexpr unsigned char sessionContext[] = "pushhub";
        SSL_CTX_set_session_id_context(context, sessionContext, sizeof sessionContext - 1);
        useCertificate(context, certificate, prefix);
        useClientAuthorities(context, options);
        return made;
    }

    void useCertificate(SSL_CTX* context, const TlsCertificate& certificate,
                        const std::string& prefix) {
        const Pem chainPem =
            readPem(prefix, "chainFile", certificate.chainFile, "chainPem", certificate.chainPem);
        const std::vector<X509Ptr> chain = readCertificates(chainPem);
        if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) {
            failOpenssl(chainPem.option, " cannot be used");
        }
        for (std::size_t i = 1; i < chain.size(); ++i) {
            if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) {
                failOpenssl(chainPem.option, " cannot be used");
            }
        }
        const Pem keyPem =
            readPem(prefix, "keyFile", certificate.keyFile, "keyPem", certificate.keyPem);
        const KeyPtr key(
            PEM_read_bio_PrivateKey(keyPem.open().get(), nullptr, &noPassword, nullptr));
        if (!key) {
            failOpenssl(keyPem.option, " is not a private key in PEM without a password");
        }
        if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
            SSL_CTX_check_private_key(context) != 1) {
            failOpenssl(keyPem.option, " does not go with the certificate");
        }
        addNames(chain.front().get(), context);
    }

    static void useClientAuthorities(SSL_CTX* context, const TlsOptions& options) {
        if (options.clientCertificates == ClientCertificates::none) {
            if (!options.clientCaFile.empty() || !options.clientCaPem.empty()) {
                fail("clientCertificates", " is none, expected another for clientCaFile");
            }
            return;
        }
        const Pem pem =
            readPem("", "clientCaFile", options.clientCaFile, "clientCaPem", options.clientCaPem);
        for (const X509Ptr& authority : readCertificates(pem)) {
            // Clients are told the names, to choose a certificate by.
            if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1 ||
                SSL_CTX_add_client_CA(context, authority.get()) != 1) {
                failOpenssl(pem.option, " cannot be used");
            }
        }
        const bool required = options.clientCertificates == ClientCertificates::required;
        SSL_CTX_set_verify(
            context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    }

    // The names that the certificate was issued for; as clients do, the common name counts only if
    // there are no others.
    void addNames(X509* certificate, SSL_CTX* context) {
        const NamesPtr names(static_cast<GENERAL_NAMES*>(
            X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
        bool any = false;
        for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
            const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
            if (name->type == GEN_DNS) {
                any = true;
                addName({reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                         static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))},
                        context);
            }
        }
        std::array<char, 256> common;
        const int size =
            any ? 0
                : X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                            common.data(), static_cast<int>(common.size()));
        if (size > 0) {
            addName({common.data(), static_cast<std::size_t>(size)}, context);
        }
    }

    void addName(std::string name, SSL_CTX* context) {
        std::transform(name.begin(), name.end(), name.begin(), &toLowerAscii);
        byName_.emplace(std::move(name), context);
    }

    SSL_CTX* find(std::string_view name) const noexcept {
        std::array<char, 256> lower;
        if (name.size() >= lower.size()) {
            return nullptr;
        }
        std::transform(name.begin(), name.end(), lower.begin(), &toLowerAscii);
        auto found = byName_.find(std::string_view(lower.data(), name.size()));
        const std::size_t dot = name.find('.');
        if (found == byName_.end() && dot != std::string_view::npos && dot > 0) {
            lower[dot - 1] = '*';
            found = byName_.find(std::string_view(lower.data() + dot - 1, name.size() - dot + 1));
        }
        return found == byName_.end() ? nullptr : found->second;
    }

    static int chooseCertificate(SSL* ssl, int*, void* self) noexcept {
        const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        SSL_CTX* context = name ? static_cast<const TlsContext*>(self)->find(name) : nullptr;
        const bool failed = context && !SSL_set_SSL_CTX(ssl, context);
        return failed ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_OK;
    }

    static int chooseProtocol(SSL*, const unsigned char** chosen, unsigned char* chosenSize,
                              const unsigned char* offered, unsigned offeredSize, void*) noexcept {
        constexpr std::string_view ours = "http/1.1";
        std::string_view rest(reinterpret_cast<const char*>(offered), offeredSize);
        while (!rest.empty()) {
            const std::string_view name = rest.substr(1, static_cast<unsigned char>(rest.front()));
            if (name == ours) {
                *chosen = reinterpret_cast<const unsigned char*>(name.data());
                *chosenSize = static_cast<unsigned char>(name.size());
                return SSL_TLSEXT_ERR_OK;
            }
            rest.remove_prefix(1 + name.size());
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }

    std::vector<SslContextPtr> contexts_;  // one for each certificate
    std::map<std::string, SSL_CTX*, std::less<>> byName_;
};

/// The context for new TLS handshakes. Any thread.
class TlsContextSlot {
public:
    explicit TlsContextSlot(const TlsOptions& options)
        : context_(std::make_shared<const TlsContext>(options)) {}

    std::shared_ptr<const TlsContext> get() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return context_;
    }

    void set(const TlsOptions& options) {
        auto context = std::make_shared<const TlsContext>(options);
        const std::lock_guard<std::mutex> lock(mutex_);
        context_.swap(context);
    }

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const TlsContext> context_;
};

}  // namespace pushhub::detail

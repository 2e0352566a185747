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

/// The certificate that the other side has shown, null without one.
inline X509Ptr peerCertificate(const SSL* ssl) noexcept {
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    return X509Ptr(SSL_get1_peer_certificate(ssl));
#else
    return X509Ptr(SSL_get_peer_certificate(ssl));
#endif
}

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
            certificates_.push_back(
                load(options.certificates[i], "certificates[" + std::to_string(i) + "]."));
            contextOf({i}, options);  // throws if it cannot be used
        }
        for (const auto& [name, all] : certificatesByName()) {
            byName_.emplace(name, contextOf(oneOfEachKey(all), options));
        }
        default_ = contextOf(defaultCertificates(), options);
        certificates_.clear();
        // What the macro SSL_CTX_set_tlsext_servername_callback does, with a cast of C in it.
        SSL_CTX_callback_ctrl(default_, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                              reinterpret_cast<void (*)()>(&chooseCertificate));
        SSL_CTX_set_tlsext_servername_arg(default_, this);
        ERR_clear_error();
    }

    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;

    /// The server's side of a new connection, null without memory. It must not outlive this object.
    SslPtr makeSsl() const noexcept {
        SslPtr ssl(SSL_new(default_));
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

    // A certificate as it was loaded.
    struct Certificate {
        std::string chainOption;  // how messages call the chain and the key
        std::string keyOption;
        std::vector<X509Ptr> chain;
        KeyPtr key;
        std::string keyType;
        std::vector<std::string> names;
    };
    using Choice = std::vector<std::size_t>;  // of certificates_, in ascending order

    static Certificate load(const TlsCertificate& options, const std::string& prefix) {
        const Pem chain =
            readPem(prefix, "chainFile", options.chainFile, "chainPem", options.chainPem);
        const Pem key = readPem(prefix, "keyFile", options.keyFile, "keyPem", options.keyPem);
        Certificate result{chain.option, key.option, readCertificates(chain), {}, {}, {}};
        result.key.reset(PEM_read_bio_PrivateKey(key.open().get(), nullptr, &noPassword, nullptr));
        if (!result.key) {
            failOpenssl(key.option, " is not a private key in PEM without a password");
        }
        result.keyType = keyType(result.key.get());
        result.names = namesOf(result.chain.front().get());
        return result;
    }

    // A context of OpenSSL has room for one certificate of each.
    static std::string keyType(const EVP_PKEY* key) {
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
        const char* name = EVP_PKEY_get0_type_name(key);
        return name ? name : "";
#else
        return std::to_string(EVP_PKEY_base_id(key));
#endif
    }

    // For each name in some certificate: those for exactly this name, then those for a wildcard in
    // place of its first label.
    std::map<std::string, std::vector<std::size_t>> certificatesByName() const {
        std::map<std::string, std::vector<std::size_t>> exact;
        for (std::size_t i = 0; i < certificates_.size(); ++i) {
            for (const std::string& name : certificates_[i].names) {
                exact[name].push_back(i);
            }
        }
        auto all = exact;
        for (auto& [name, certificates] : all) {
            const auto found = exact.find(wildcardFor(name));
            if (found != exact.end() && found->first != name) {
                certificates.insert(certificates.end(), found->second.begin(), found->second.end());
            }
        }
        return all;
    }

    static std::string wildcardFor(const std::string& name) {
        const std::size_t dot = name.find('.');
        return dot == std::string::npos || dot == 0 ? std::string() : "*" + name.substr(dot);
    }

    Choice oneOfEachKey(const std::vector<std::size_t>& certificates) const {
        Choice choice;
        for (const std::size_t i : certificates) {
            if (std::none_of(choice.begin(), choice.end(), [&](std::size_t other) {
                    return certificates_[other].keyType == certificates_[i].keyType;
                })) {
                choice.push_back(i);
            }
        }
        std::sort(choice.begin(), choice.end());
        return choice;
    }

    // The first one, and with it those that are for all of its names.
    Choice defaultCertificates() const {
        std::vector<std::size_t> certificates{0};
        const std::vector<std::string>& needed = certificates_.front().names;
        for (std::size_t i = 1; i < certificates_.size() && !needed.empty(); ++i) {
            const std::vector<std::string>& names = certificates_[i].names;
            if (std::all_of(needed.begin(), needed.end(), [&](const std::string& name) {
                    return std::find(names.begin(), names.end(), name) != names.end() ||
                           std::find(names.begin(), names.end(), wildcardFor(name)) != names.end();
                })) {
                certificates.push_back(i);
            }
        }
        return oneOfEachKey(certificates);
    }

    SSL_CTX* contextOf(const Choice& choice, const TlsOptions& options) {
        SslContextPtr& context = contexts_[choice];
        if (!context) {
            context = makeContext(choice, options);
        }
        return context.get();
    }

    SslContextPtr makeContext(const Choice& choice, const TlsOptions& options) const {
        ERR_clear_error();
        SslContextPtr made(SSL_CTX_new(TLS_server_method()));
        SSL_CTX* const context = made.get();
        if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
            failOpenssl("certificates", " cannot be used");
        }
        setCiphers(context, options);
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
        for (const std::size_t i : choice) {
            useCertificate(context, certificates_[i]);
        }
        useClientAuthorities(context, options);
        return made;
    }

    // PRIORITIZE_CHACHA takes ChaCha20 for clients that put it first.
    static void setCiphers(SSL_CTX* context, const TlsOptions& options) {
        if (SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) != 1 ||
            !hasCiphersOf(context, false)) {
            failOpenssl("ciphers", " is \"" + options.ciphers +
                                       "\", expected a list of OpenSSL's with ciphers of TLS 1.2");
        }
        if (SSL_CTX_set_ciphersuites(context, options.ciphersuites.c_str()) != 1 ||
            !hasCiphersOf(context, true)) {
            failOpenssl("ciphersuites",
                        " is \"" + options.ciphersuites +
                            "\", expected names of TLS 1.3 such as TLS_AES_128_GCM_SHA256");
        }
        SSL_CTX_set_dh_auto(context, 1);  // where DHE is in the list
    }

    // Depending on its version, OpenSSL takes lists of which it knows nothing.
    static bool hasCiphersOf(const SSL_CTX* context, bool tls13) {
        const STACK_OF(SSL_CIPHER)* ciphers = SSL_CTX_get_ciphers(context);
        for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
            const std::string_view version =
                SSL_CIPHER_get_version(sk_SSL_CIPHER_value(ciphers, i));
            if ((version == "TLSv1.3") == tls13) {
                return true;
            }
        }
        return false;
    }

    static void useCertificate(SSL_CTX* context, const Certificate& certificate) {
        if (SSL_CTX_use_certificate(context, certificate.chain.front().get()) != 1) {
            failOpenssl(certificate.chainOption, " cannot be used");
        }
        for (std::size_t i = 1; i < certificate.chain.size(); ++i) {
            if (SSL_CTX_add1_chain_cert(context, certificate.chain[i].get()) != 1) {
                failOpenssl(certificate.chainOption, " cannot be used");
            }
        }
        if (SSL_CTX_use_PrivateKey(context, certificate.key.get()) != 1 ||
            SSL_CTX_check_private_key(context) != 1) {
            failOpenssl(certificate.keyOption, " does not go with the certificate");
        }
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

    // The names that the certificate was issued for, in lower case; as clients do, the common name
    // counts only if there are no others.
    static std::vector<std::string> namesOf(X509* certificate) {
        std::vector<std::string> result;
        const auto add = [&](std::string name) {
            std::transform(name.begin(), name.end(), name.begin(), &toLowerAscii);
            result.push_back(std::move(name));
        };
        const NamesPtr names(static_cast<GENERAL_NAMES*>(
            X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
        for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
            const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
            if (name->type == GEN_DNS) {
                add({reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                     static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))});
            }
        }
        std::array<char, 256> common;
        const int size = !result.empty() ? 0
                                         : X509_NAME_get_text_by_NID(
                                               X509_get_subject_name(certificate), NID_commonName,
                                               common.data(), static_cast<int>(common.size()));
        if (size > 0) {
            add({common.data(), static_cast<std::size_t>(size)});
        }
        return result;
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

    std::vector<Certificate> certificates_;  // until the contexts are made
    std::map<Choice, SslContextPtr> contexts_;
    std::map<std::string, SSL_CTX*, std::less<>> byName_;
    SSL_CTX* default_ = nullptr;  // with which each connection begins
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

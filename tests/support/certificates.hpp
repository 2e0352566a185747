#pragma once

// Certificates, made on the spot.

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <pushhub/tls_options.hpp>
#include <pushhub/transport/asio_tls_context.hpp>

namespace pushhub::test {

inline void checkOpenssl(bool good, const char* what) {
    if (!good) {
        throw std::runtime_error(std::string(what) + ": " +
                                 ERR_error_string(ERR_get_error(), nullptr));
    }
}

/// A certificate and its key, in PEM.
struct Identity {
    std::string certificate;
    std::string key;

    TlsCertificate forServer() const { return {"", "", certificate, key}; }
};

/// Signs certificates: a root of its own, or below another.
class Authority {
public:
    using Subject = std::vector<std::pair<const char*, const char*>>;  // such as {"CN", "x"}

    explicit Authority(const char* name = "test authority", const Authority* above = nullptr)
        : key_(makeKey()) {
        certificate_ = (above ? above : this)
                           ->make({{"CN", name}}, {}, key_.get(), std::chrono::hours(24), true,
                                  above ? above->certificate_.get() : nullptr);
    }

    std::string pem() const { return toPem(certificate_.get()); }

    /// `names` such as "DNS:localhost" or "IP:127.0.0.1"; `life` from now on, the past if it is
    /// negative.
    Identity issue(const Subject& subject, std::initializer_list<const char*> names = {},
                   std::chrono::seconds life = std::chrono::hours(24),
                   int keyType = EVP_PKEY_EC) const {
        const detail::KeyPtr key = makeKey(keyType);
        const detail::X509Ptr certificate =
            make(subject, names, key.get(), life, false, certificate_.get());
        const detail::BioPtr bio(BIO_new(BIO_s_mem()));
        checkOpenssl(PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                              nullptr) == 1,
                     "key to PEM");
        return {toPem(certificate.get()), text(bio)};
    }

private:
    static std::string text(const detail::BioPtr& bio) {
        char* data = nullptr;
        const long size = BIO_get_mem_data(bio.get(), &data);
        return {data, static_cast<std::size_t>(size)};
    }

    static std::string toPem(X509* certificate) {
        const detail::BioPtr bio(BIO_new(BIO_s_mem()));
        checkOpenssl(PEM_write_bio_X509(bio.get(), certificate) == 1, "certificate to PEM");
        return text(bio);
    }

    static detail::KeyPtr makeKey(int type = EVP_PKEY_EC) {
        const std::unique_ptr<EVP_PKEY_CTX, detail::OpensslFree<EVP_PKEY_CTX_free>> context(
            EVP_PKEY_CTX_new_id(type, nullptr));
        EVP_PKEY* key = nullptr;
        checkOpenssl(context && EVP_PKEY_keygen_init(context.get()) == 1 &&
                         (type != EVP_PKEY_EC || EVP_PKEY_CTX_set_ec_paramgen_curve_nid(
                                                     context.get(), NID_X9_62_prime256v1) == 1) &&
                         EVP_PKEY_keygen(context.get(), &key) == 1,
                     "key");
        return detail::KeyPtr(key);
    }

    detail::X509Ptr make(const Subject& subject, std::initializer_list<const char*> names,
                         EVP_PKEY* key, std::chrono::seconds life, bool authority,
                         X509* issuer) const {
        constexpr long hour = 3600;
        detail::X509Ptr made(X509_new());
        X509* const x = made.get();
        checkOpenssl(x && X509_set_version(x, 2) == 1, "certificate");
        static std::atomic<long> serial{1};
        ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
        X509_gmtime_adj(X509_getm_notBefore(x), life.count() < 0 ? -48 * hour : -hour);
        X509_gmtime_adj(X509_getm_notAfter(x), static_cast<long>(life.count()));
        const std::unique_ptr<X509_NAME, detail::OpensslFree<X509_NAME_free>> name(X509_NAME_new());
        for (const auto& [field, value] : subject) {
            checkOpenssl(X509_NAME_add_entry_by_txt(name.get(), field, MBSTRING_UTF8,
                                                    reinterpret_cast<const unsigned char*>(value),
                                                    -1, -1, 0) == 1,
                         "subject");
        }
        checkOpenssl(X509_set_subject_name(x, name.get()) == 1 &&
                         X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) == 1 &&
                         X509_set_pubkey(x, key) == 1,
                     "issuer");
        std::string alternatives;
        for (const char* one : names) {
            alternatives += std::string(alternatives.empty() ? "" : ",") + one;
        }
        addExtension(x, issuer, NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
        if (!alternatives.empty()) {
            addExtension(x, issuer, NID_subject_alt_name, alternatives.c_str());
        }
        checkOpenssl(X509_sign(x, key_.get(), EVP_sha256()) > 0, "signature");
        return made;
    }

    static void addExtension(X509* to, X509* issuer, int nid, const char* value) {
        X509V3_CTX context;
        X509V3_set_ctx(&context, issuer ? issuer : to, to, nullptr, nullptr, 0);
        X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
        checkOpenssl(extension && X509_add_ext(to, extension, -1) == 1, "extension");
        X509_EXTENSION_free(extension);
    }

    detail::KeyPtr key_;
    detail::X509Ptr certificate_;
};

}  // namespace pushhub::test

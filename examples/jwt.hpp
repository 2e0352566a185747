#pragma once

// JSON Web Tokens (RFC 7519) with HS256 and RS256, checked with OpenSSL and RapidJSON. Part of the
// example jwt_auth; use it as a starting point, or use a library that your service already has.

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <locale>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <pushhub/auth/base64url.hpp>

namespace jwt {

using TimePoint = std::chrono::system_clock::time_point;

/// The members that are checked in a header and in claims.
struct Members {
    std::map<std::string, std::string> texts;    // "alg", "sub", "aud" if it is one text, ...
    std::map<std::string, std::string> numbers;  // as they were written
    std::set<std::string> audiences;             // "aud" if it is a list
    std::set<std::string> names;                 // of all members, whatever they hold
};

namespace detail {

// Reads the members of one JSON object and skips nested values. Numbers are kept as text, so that
// none is ever converted, and a repeated name ends the parsing: two readers could disagree about
// which one counts.
class MembersHandler : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, MembersHandler> {
public:
    explicit MembersHandler(Members& members) : members_(members) {}

    bool Default() { return depth_ > 0; }
    bool Key(const char* text, rapidjson::SizeType size, bool) {
        if (depth_ > 1) {
            return true;
        }
        name_.assign(text, size);
        return members_.names.insert(name_).second;
    }
    bool String(const char* text, rapidjson::SizeType size, bool) {
        if (depth_ == 1) {
            members_.texts[name_].assign(text, size);
        } else if (depth_ == 2 && inList_ && name_ == "aud") {
            members_.audiences.emplace(text, size);
        }
        return depth_ > 0;
    }
    bool RawNumber(const char* text, rapidjson::SizeType size, bool) {
        if (depth_ == 1) {
            members_.numbers[name_].assign(text, size);
        }
        return depth_ > 0;
    }
    bool StartObject() { return enter(false); }
    bool EndObject(rapidjson::SizeType) { return leave(); }
    bool StartArray() { return depth_ > 0 && enter(true); }
    bool EndArray(rapidjson::SizeType) { return leave(); }

private:
    bool enter(bool list) {
        constexpr int deepest = 16;
        inList_ = list;
        return ++depth_ <= deepest;
    }
    bool leave() {
        inList_ = false;
        --depth_;
        return true;
    }

    Members& members_;
    std::string name_;
    int depth_ = 0;
    bool inList_ = false;
};

inline std::optional<Members> parseObject(std::string_view json) {
    constexpr unsigned flags = rapidjson::kParseValidateEncodingFlag |
                               rapidjson::kParseIterativeFlag |
                               rapidjson::kParseNumbersAsStringsFlag;
    if (json.find('\0') != std::string_view::npos) {
        return std::nullopt;  // RapidJSON's streams take it for the end
    }
    Members members;
    MembersHandler handler(members);
    rapidjson::MemoryStream stream(json.data(), json.size());
    rapidjson::Reader reader;
    if (reader.Parse<flags>(stream, handler).IsError()) {
        return std::nullopt;
    }
    return members;
}

// NumericDate of RFC 7519, section 2: seconds since 1970, with a fraction or an exponent if the
// issuer likes; from the year -6000 to 9999, cut to what the clock can represent.
inline std::optional<TimePoint> parseTime(const Members& members, const char* name) {
    const auto found = members.numbers.find(name);
    if (found == members.numbers.end()) {
        return std::nullopt;
    }
    std::istringstream in(found->second);
    in.imbue(std::locale::classic());  // a point, whatever the program's locale has
    double seconds = 0;
    constexpr double farthest = 253'402'300'799;
    if (!(in >> seconds) || std::abs(seconds) > farthest) {
        return std::nullopt;
    }
    using Seconds = std::chrono::duration<double>;
    // A second less, for the largest count of ticks is no double.
    constexpr auto margin = std::chrono::seconds(1);
    if (Seconds(seconds) >= Seconds((TimePoint::max)().time_since_epoch()) - margin) {
        return (TimePoint::max)();
    }
    if (Seconds(seconds) <= Seconds((TimePoint::min)().time_since_epoch()) + margin) {
        return (TimePoint::min)();
    }
    return TimePoint(std::chrono::duration_cast<TimePoint::duration>(Seconds(seconds)));
}

struct Free {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Free>;
using ContextPtr = std::unique_ptr<EVP_MD_CTX, Free>;

inline const unsigned char* bytesOf(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

inline KeyPtr hmacKey(std::string_view secret) {
    constexpr std::size_t shortest = 32;  // RFC 7518, section 3.2
    if (secret.size() < shortest) {
        throw std::invalid_argument("the secret of HS256 must have 32 bytes or more");
    }
    KeyPtr key(
        EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, nullptr, bytesOf(secret), secret.size()));
    if (!key) {
        throw std::runtime_error("OpenSSL takes no HMAC key");
    }
    return key;
}

inline std::string hmacSha256(EVP_PKEY* key, std::string_view text) {
    std::array<unsigned char, 32> mac{};
    std::size_t size = mac.size();
    const ContextPtr context(EVP_MD_CTX_new());
    if (!context || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1 ||
        EVP_DigestSign(context.get(), mac.data(), &size, bytesOf(text), text.size()) != 1) {
        throw std::runtime_error("OpenSSL computes no HMAC");
    }
    return {reinterpret_cast<const char*>(mac.data()), size};
}

}  // namespace detail

/// The identity that a token claims for its bearer.
struct Claims {
    std::string subject;
    TimePoint expires;
};

/// Checks tokens of one issuer: one key, one algorithm, one audience. Any thread.
class Verifier {
public:
    /// Throws std::invalid_argument for a secret of less than 32 bytes.
    static Verifier hs256(std::string_view secret, std::string audience) {
        return Verifier("HS256", detail::hmacKey(secret), std::move(audience));
    }

    /// Takes a public key in PEM. Throws std::invalid_argument if it is not an RSA key of at least
    /// 2048 bits.
    static Verifier rs256(const std::string& pem, std::string audience) {
        const std::unique_ptr<BIO, detail::Free> bio(
            BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
        detail::KeyPtr key(bio ? PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr)
                               : nullptr);
        if (!key || EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA ||
            EVP_PKEY_bits(key.get()) < 2048) {
            throw std::invalid_argument("this is no public RSA key of 2048 bits or more in PEM");
        }
        return Verifier("RS256", std::move(key), std::move(audience));
    }

    /// The claims of a token that is signed with the key, intended for the audience, and valid at
    /// `now`; nothing for any other token. The signature is checked first: no claim is read before
    /// that.
    std::optional<Claims> verify(std::string_view token, TimePoint now) const {
        constexpr std::size_t longest = 8192;
        const std::size_t firstDot = token.find('.');
        const std::size_t lastDot = token.rfind('.');
        if (token.size() > longest || firstDot == std::string_view::npos || firstDot == lastDot ||
            token.find('.', firstDot + 1) != lastDot) {
            return std::nullopt;
        }
        const auto header = decodeObject(token.substr(0, firstDot));
        const auto signature = pushhub::auth::base64UrlDecode(token.substr(lastDot + 1));
        if (!header || !signature || !isHeaderGood(*header) ||
            !isSignatureGood(token.substr(0, lastDot), *signature)) {
            return std::nullopt;
        }
        const auto claims = decodeObject(token.substr(firstDot + 1, lastDot - firstDot - 1));
        return claims ? judge(*claims, now) : std::nullopt;
    }

private:
    Verifier(std::string algorithm, detail::KeyPtr key, std::string audience)
        : algorithm_(std::move(algorithm)), key_(std::move(key)), audience_(std::move(audience)) {
        if (audience_.empty()) {
            throw std::invalid_argument("the audience of tokens is empty");
        }
    }

    static std::optional<Members> decodeObject(std::string_view part) {
        const auto json = pushhub::auth::base64UrlDecode(part);
        return json ? detail::parseObject(*json) : std::nullopt;
    }

    // The server determines the algorithm, not the token: so "none" is refused, and a public key is
    // never used as the secret of an HMAC. Critical extensions are not supported.
    bool isHeaderGood(const Members& header) const {
        const auto found = header.texts.find("alg");
        return found != header.texts.end() && found->second == algorithm_ &&
               header.names.count("crit") == 0;
    }

    bool isSignatureGood(std::string_view text, std::string_view signature) const {
        if (algorithm_ == "HS256") {
            const std::string mac = detail::hmacSha256(key_.get(), text);
            return signature.size() == mac.size() &&
                   CRYPTO_memcmp(signature.data(), mac.data(), mac.size()) == 0;
        }
        const detail::ContextPtr context(EVP_MD_CTX_new());
        return context &&
               EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) ==
                   1 &&
               EVP_DigestVerify(context.get(), detail::bytesOf(signature), signature.size(),
                                detail::bytesOf(text), text.size()) == 1;
    }

    std::optional<Claims> judge(const Members& claims, TimePoint now) const {
        constexpr std::chrono::seconds skew{30};  // of the issuer's clock, which may be ahead
        const auto subject = claims.texts.find("sub");
        const auto audience = claims.texts.find("aud");
        const bool forUs = audience != claims.texts.end() ? audience->second == audience_
                                                          : claims.audiences.count(audience_) > 0;
        const auto expires = detail::parseTime(claims, "exp");
        const auto notBefore = detail::parseTime(claims, "nbf");
        if (!forUs || subject == claims.texts.end() || subject->second.empty() || !expires ||
            *expires <= now || (claims.names.count("nbf") > 0 && !notBefore) ||
            (notBefore && *notBefore > now + skew)) {
            return std::nullopt;
        }
        return Claims{subject->second, *expires};
    }

    std::string algorithm_;
    detail::KeyPtr key_;
    std::string audience_;
};

/// A token for experiments, HS256. `json` contains the claims.
inline std::string signHs256(std::string_view secret, std::string_view json) {
    using pushhub::auth::base64UrlEncode;
    std::string token =
        base64UrlEncode(R"({"alg":"HS256","typ":"JWT"})") + "." + base64UrlEncode(json);
    token += "." + base64UrlEncode(detail::hmacSha256(detail::hmacKey(secret).get(), token));
    return token;
}

}  // namespace jwt

#include "../../examples/jwt.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using jwt::Verifier;
using pushhub::auth::base64UrlEncode;

namespace {

const std::string secret = "0123456789abcdef0123456789abcdef";
const jwt::TimePoint now = jwt::TimePoint(1'700'000'000s);
const std::string goodClaims = R"({"sub":"0001","aud":"pushhub","exp":1700000060})";
const std::string goodHeader = R"({"alg":"HS256","typ":"JWT"})";

std::string sign(const std::string& header, const std::string& claims) {
    const std::string text = base64UrlEncode(header) + "." + base64UrlEncode(claims);
    const auto key = jwt::detail::hmacKey(secret);
    return text + "." + base64UrlEncode(jwt::detail::hmacSha256(key.get(), text));
}

// An RSA key pair that lives as long as the test.
class RsaKey {
public:
    explicit RsaKey(unsigned bits) {
        const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
            EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nullptr), &EVP_PKEY_CTX_free);
        EVP_PKEY* key = nullptr;
        REQUIRE(EVP_PKEY_keygen_init(context.get()) == 1);
        REQUIRE(EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), static_cast<int>(bits)) == 1);
        REQUIRE(EVP_PKEY_keygen(context.get(), &key) == 1);
        key_.reset(key);
    }

    std::string publicPem() const {
        const std::unique_ptr<BIO, jwt::detail::Free> bio(BIO_new(BIO_s_mem()));
        REQUIRE(PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
        char* data = nullptr;
        const long size = BIO_get_mem_data(bio.get(), &data);
        return {data, static_cast<std::size_t>(size)};
    }

    std::string sign(const std::string& header, const std::string& claims) const {
        const std::string text = base64UrlEncode(header) + "." + base64UrlEncode(claims);
        const jwt::detail::ContextPtr context(EVP_MD_CTX_new());
        std::string signature(512, '\0');
        std::size_t size = signature.size();
        auto* const out = reinterpret_cast<unsigned char*>(&signature[0]);
        REQUIRE(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1);
        REQUIRE(EVP_DigestSign(context.get(), out, &size, jwt::detail::bytesOf(text),
                               text.size()) == 1);
        signature.resize(size);
        return text + "." + base64UrlEncode(signature);
    }

private:
    jwt::detail::KeyPtr key_;
};

}  // namespace

TEST_CASE("A token of RFC 7515 has the signature that is printed there", "[auth][jwt]") {
    // Section A.1; the key is longer than 32 bytes, the token expired in 2011.
    const auto key = pushhub::auth::base64UrlDecode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    REQUIRE(key.has_value());
    const std::string text =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ";
    CHECK(base64UrlEncode(jwt::detail::hmacSha256(jwt::detail::hmacKey(*key).get(), text)) ==
          "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

TEST_CASE("A good token gives subject and end", "[auth][jwt]") {
    const Verifier verifier = Verifier::hs256(secret, "pushhub");
    const auto claims = verifier.verify(sign(goodHeader, goodClaims), now);
    REQUIRE(claims.has_value());
    CHECK(claims->subject == "0001");
    CHECK(claims->expires == now + 60s);
    CHECK(verifier.verify(jwt::signHs256(secret, goodClaims), now).has_value());
}

TEST_CASE("Claims are judged", "[auth][jwt]") {
    const std::vector<std::pair<std::string, bool>> rows = {
        {goodClaims, true},
        {R"({"exp":1700000001,"aud":"pushhub","sub":"0001"})", true},
        {R"({"exp":1700000000,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":1699999999,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":253402300799,"aud":"pushhub","sub":"0001"})", true},
        {R"({"exp":253402300800,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":99999999999999999999,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":"1700000060","aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":1700000060.5,"aud":"pushhub","sub":"0001"})", true},
        {R"({"exp":1700000000.25,"aud":"pushhub","sub":"0001"})", true},
        {R"({"exp":1699999999.999,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":1.70000006e9,"aud":"pushhub","sub":"0001"})", true},
        {R"({"exp":17000000600E-1,"aud":"pushhub","sub":"0001"})", true},
        {R"({"exp":1.69e+9,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":9.3e9,"aud":"pushhub","sub":"0001"})", true},
        {R"({"exp":253402300799.5,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":1e308,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":-1e308,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":-0.5,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":0,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":17e99,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":1e-2147483648,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":-1,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":null,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":true,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":[1700000060],"aud":"pushhub","sub":"0001"})", false},
        {R"({"x":{"exp":1700000060},"aud":"pushhub","sub":"0001"})", false},
        {R"({"aud":"pushhub","sub":"0001"})", false},
        // nbf
        {R"({"nbf":1700000000,"exp":1700000060,"aud":"pushhub","sub":"0001"})", true},
        {R"({"nbf":1700000030,"exp":1700000060,"aud":"pushhub","sub":"0001"})", true},
        {R"({"nbf":1700000031,"exp":1700000060,"aud":"pushhub","sub":"0001"})", false},
        {R"({"nbf":"0","exp":1700000060,"aud":"pushhub","sub":"0001"})", false},
        {R"({"nbf":-1,"exp":1700000060,"aud":"pushhub","sub":"0001"})", true},
        {R"({"nbf":-1e11,"exp":1700000060,"aud":"pushhub","sub":"0001"})", true},
        {R"({"nbf":1700000029.5,"exp":1700000060,"aud":"pushhub","sub":"0001"})", true},
        {R"({"nbf":1700000030.5,"exp":1700000060,"aud":"pushhub","sub":"0001"})", false},
        {R"({"nbf":1.7e9,"exp":1700000060,"aud":"pushhub","sub":"0001"})", true},
        {R"({"nbf":1e11,"exp":1700000060,"aud":"pushhub","sub":"0001"})", false},
        {R"({"nbf":1e308,"exp":1700000060,"aud":"pushhub","sub":"0001"})", false},
        // iat is not looked at
        {R"({"iat":1700000000.5,"exp":1700000060,"aud":"pushhub","sub":"0001"})", true},
        // aud
        {R"({"exp":1700000060,"aud":["pushhub"],"sub":"0001"})", true},
        {R"({"exp":1700000060,"aud":["other","pushhub"],"sub":"0001"})", true},
        {R"({"exp":1700000060,"aud":["other"],"sub":"0001"})", false},
        {R"({"exp":1700000060,"aud":[],"sub":"0001"})", false},
        {R"({"exp":1700000060,"aud":[["pushhub"]],"sub":"0001"})", false},
        {R"({"exp":1700000060,"aud":[{"aud":"pushhub"}],"sub":"0001"})", false},
        {R"({"exp":1700000060,"aud":{"aud":"pushhub"},"sub":"0001"})", false},
        {R"({"exp":1700000060,"aud":"other","sub":"0001"})", false},
        {R"({"exp":1700000060,"aud":"Pushhub","sub":"0001"})", false},
        {R"({"exp":1700000060,"aud":"pushhub ","sub":"0001"})", false},
        {R"({"exp":1700000060,"sub":"0001"})", false},
        {R"({"exp":1700000060,"x":["pushhub"],"sub":"0001"})", false},
        // sub
        {R"({"exp":1700000060,"aud":"pushhub"})", false},
        {R"({"exp":1700000060,"aud":"pushhub","sub":""})", false},
        {R"({"exp":1700000060,"aud":"pushhub","sub":1})", false},
        {R"({"exp":1700000060,"aud":"pushhub","sub":["0001"]})", false},
        // JSON
        {R"({"sub":"0002","exp":1700000060,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":1,"exp":1700000060,"aud":"pushhub","sub":"0001"})", false},
        {R"({"exp":1700000060,"aud":"pushhub","sub":"0001","x":{"sub":"2","sub":"3"}})", true},
        {goodClaims + "x", false},
        {"[" + goodClaims + "]", false},
        {R"("0001")", false},
        {"1700000060", false},
        {"", false},
        {"{", false},
        {"{}", false},
        {"null", false},
        {std::string(R"({"sub":"0001","aud":"pushhub","exp":1700000060})") + '\0' + "}", false},
        {"{\"exp\":1700000060,\"aud\":\"pushhub\",\"sub\":\"\xff\"}", false},
        {R"({"exp":1700000060,"aud":"pushhub","sub":"0001","x":)" + std::string(15, '[') +
             std::string(15, ']') + "}",
         true},
        {R"({"exp":1700000060,"aud":"pushhub","sub":"0001","x":)" + std::string(16, '[') +
             std::string(16, ']') + "}",
         false},
    };
    const Verifier verifier = Verifier::hs256(secret, "pushhub");
    for (const auto& [claims, good] : rows) {
        INFO(claims);
        CHECK(verifier.verify(sign(goodHeader, claims), now).has_value() == good);
    }
}

TEST_CASE("The algorithm is ours to say", "[auth][jwt]") {
    const std::vector<std::pair<std::string, bool>> rows = {
        {goodHeader, true},
        {R"({"alg":"HS256"})", true},
        {R"({"typ":"at+jwt","kid":"1","alg":"HS256"})", true},
        {R"({"alg":"none"})", false},
        {R"({"alg":"None"})", false},
        {R"({"alg":"hs256"})", false},
        {R"({"alg":"HS384"})", false},
        {R"({"alg":"RS256"})", false},
        {R"({"alg":""})", false},
        {R"({"alg":null})", false},
        {R"({"alg":["HS256"]})", false},
        {R"({"alg":"none","alg":"HS256"})", false},
        {R"({"alg":"HS256","alg":"none"})", false},
        {R"({"typ":"JWT"})", false},
        {R"({"alg":"HS256","crit":["exp"]})", false},
        {R"({"alg":"HS256","b64":false,"crit":["b64"]})", false},
        {R"({})", false},
        {"", false},
    };
    const Verifier verifier = Verifier::hs256(secret, "pushhub");
    for (const auto& [header, good] : rows) {
        INFO(header);
        CHECK(verifier.verify(sign(header, goodClaims), now).has_value() == good);
        const std::string unsignedToken =
            base64UrlEncode(header) + "." + base64UrlEncode(goodClaims) + ".";
        CHECK_FALSE(verifier.verify(unsignedToken, now).has_value());
    }
}

TEST_CASE("A token that was changed is refused", "[auth][jwt]") {
    const Verifier verifier = Verifier::hs256(secret, "pushhub");
    const std::string token = sign(goodHeader, goodClaims);
    for (std::size_t i = 0; i < token.size(); ++i) {
        for (const char c : {'A', 'x', '.', '='}) {
            if (token[i] != c) {
                std::string changed = token;
                changed[i] = c;
                CHECK_FALSE(verifier.verify(changed, now).has_value());
            }
        }
        CHECK_FALSE(verifier.verify(token.substr(0, i), now).has_value());
    }
    for (const std::string& wrong :
         {token + "A", token + ".", "." + token, token + "=", " " + token, std::string("a.b.c.d"),
          std::string(".."), std::string(100'000, '.'), token + "." + token}) {
        CHECK_FALSE(verifier.verify(wrong, now).has_value());
    }
    const Verifier other = Verifier::hs256(secret + "x", "pushhub");
    CHECK_FALSE(other.verify(token, now).has_value());
    CHECK_FALSE(Verifier::hs256(secret, "orders").verify(token, now).has_value());
}

TEST_CASE("RS256 takes what the private key has signed, and nothing else", "[auth][jwt]") {
    const RsaKey key(2048);
    const std::string header = R"({"alg":"RS256"})";
    const std::string token = key.sign(header, goodClaims);
    const Verifier verifier = Verifier::rs256(key.publicPem(), "pushhub");
    const auto claims = verifier.verify(token, now);
    REQUIRE(claims.has_value());
    CHECK(claims->subject == "0001");

    CHECK_FALSE(verifier.verify(token, now + 60s).has_value());
    CHECK_FALSE(verifier.verify(key.sign(goodHeader, goodClaims), now).has_value());
    CHECK_FALSE(verifier.verify(RsaKey(2048).sign(header, goodClaims), now).has_value());
    CHECK_FALSE(verifier.verify(sign(header, goodClaims), now).has_value());
    std::string changed = token;
    changed[token.size() / 2] = changed[token.size() / 2] == 'A' ? 'B' : 'A';
    CHECK_FALSE(verifier.verify(changed, now).has_value());

    // The public key as the secret of an HMAC, which is the classic confusion.
    const std::string text = base64UrlEncode(goodHeader) + "." + base64UrlEncode(goodClaims);
    const auto publicAsSecret = jwt::detail::hmacKey(key.publicPem());
    const std::string forged =
        text + "." + base64UrlEncode(jwt::detail::hmacSha256(publicAsSecret.get(), text));
    CHECK_FALSE(verifier.verify(forged, now).has_value());
}

TEST_CASE("Keys that are too weak are refused", "[auth][jwt]") {
    CHECK_THROWS_AS(Verifier::hs256(secret.substr(1), "pushhub"), std::invalid_argument);
    CHECK_THROWS_AS(Verifier::hs256(secret, ""), std::invalid_argument);
    CHECK_THROWS_AS(Verifier::rs256("", "pushhub"), std::invalid_argument);
    CHECK_THROWS_AS(Verifier::rs256("-----BEGIN PUBLIC KEY-----\n", "pushhub"),
                    std::invalid_argument);
    CHECK_THROWS_AS(Verifier::rs256(RsaKey(1024).publicPem(), "pushhub"), std::invalid_argument);
}

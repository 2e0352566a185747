// What encrypting and compressing cost by themselves, in microseconds as JSON: OpenSSL writing
// records of TLS 1.3 with AES-128-GCM into memory, and zlib as permessageDeflate() sets it, on the
// payloads of the benchmarks. run.py adds it to a plain row, and compares with the one that has
// both.

#include <atomic>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#ifdef PUSHHUB_BENCH_TLS
#include <openssl/bio.h>
#include <openssl/ssl.h>
#endif

#include "cost.hpp"
#include "servers/support.hpp"

namespace {

/// What two threads get done, as a multiple of what one does. Each calls what `make` returns.
template <class Make>
double scaling(Make make) {
    const auto perSecond = [&](std::size_t threads) {
        std::atomic<std::size_t> ready{0};
        std::atomic<bool> stop{false};
        std::atomic<std::uint64_t> calls{0};
        std::vector<std::thread> all;
        for (std::size_t i = 0; i < threads; ++i) {
            all.emplace_back([&] {
                auto work = make();
                ready.fetch_add(1);
                while (ready.load() < threads) {
                    std::this_thread::yield();
                }
                std::uint64_t mine = 0;
                while (!stop.load(std::memory_order_relaxed)) {
                    work();
                    ++mine;
                }
                calls.fetch_add(mine);
            });
        }
        while (ready.load() < threads) {
            std::this_thread::yield();
        }
        const std::int64_t begin = bench::monotonicNow();
        bench::sleepUntil(begin + 500'000'000);
        stop.store(true);
        const auto elapsed = static_cast<double>(bench::monotonicNow() - begin);
        for (std::thread& thread : all) {
            thread.join();
        }
        return static_cast<double>(calls.load()) / elapsed;
    };
    const double one = perSecond(1);
    return perSecond(2) / one;
}

/// Copies from and to memory that no cache holds.
class Copy {
public:
    Copy() : from_(size, 'x'), to_(size, 'y') {}

    void operator()() {
        std::copy_n(from_.data() + at_, piece, to_.data() + at_);
        at_ = (at_ + piece) % size;
    }

private:
    static constexpr std::size_t size = 128 * 1024 * 1024;
    static constexpr std::size_t piece = 16 * 1024;
    std::string from_;
    std::string to_;
    std::size_t at_ = 0;
};

#ifdef PUSHHUB_BENCH_TLS

void check(bool good, const char* what) {
    if (!good) {
        throw std::runtime_error(what);
    }
}

/// Two ends that have shaken hands; what the server writes stays in memory.
class Pair {
public:
    Pair(const char* certificate, const char* key)
        : serverContext_(::SSL_CTX_new(::TLS_server_method())),
          clientContext_(::SSL_CTX_new(::TLS_client_method())) {
        check(serverContext_ && clientContext_, "no TLS context");
        check(::SSL_CTX_use_certificate_file(serverContext_.get(), certificate, SSL_FILETYPE_PEM) ==
                      1 &&
                  ::SSL_CTX_use_PrivateKey_file(serverContext_.get(), key, SSL_FILETYPE_PEM) == 1,
              "no certificate or no key");
        check(::SSL_CTX_set_ciphersuites(clientContext_.get(), "TLS_AES_128_GCM_SHA256") == 1,
              "no such cipher");
        server_.reset(::SSL_new(serverContext_.get()));
        client_.reset(::SSL_new(clientContext_.get()));
        check(server_ && client_, "no TLS session");
        toClient_ = ::BIO_new(::BIO_s_mem());
        BIO* const toServer = ::BIO_new(::BIO_s_mem());
        check(toClient_ != nullptr && toServer != nullptr, "no BIO");
        ::BIO_up_ref(toClient_);
        ::BIO_up_ref(toServer);
        ::SSL_set_bio(server_.get(), toServer, toClient_);
        ::SSL_set_bio(client_.get(), toClient_, toServer);
        ::SSL_set_accept_state(server_.get());
        ::SSL_set_connect_state(client_.get());
        for (int i = 0; i < 4; ++i) {
            ::SSL_do_handshake(client_.get());
            ::SSL_do_handshake(server_.get());
        }
        check(::SSL_is_init_finished(server_.get()) == 1, "the TLS handshake failed");
        client_.reset();  // nobody reads
    }

    void write(const std::string& data) {
        BIO_reset(toClient_);
        std::size_t written = 0;
        check(::SSL_write_ex(server_.get(), data.data(), data.size(), &written) == 1, "SSL_write");
    }

private:
    struct Free {
        void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
        void operator()(SSL* session) const { ::SSL_free(session); }
    };

    std::unique_ptr<SSL_CTX, Free> serverContext_;
    std::unique_ptr<SSL_CTX, Free> clientContext_;
    std::unique_ptr<SSL, Free> server_;
    std::unique_ptr<SSL, Free> client_;
    BIO* toClient_ = nullptr;  // the session owns it
};

/// A straight line through a short record and the longest one; and the short one again, written to
/// a thousand sessions in turn, as a broadcast does: then what OpenSSL keeps for each of them has
/// left the caches by the time it is needed again.
void printTls(const char* certificate, const char* key) {
    constexpr double small = 64;
    constexpr double large = 16 * 1024;
    Pair pair(certificate, key);
    const std::string shortData(static_cast<std::size_t>(small), 'x');
    const std::string longData(static_cast<std::size_t>(large), 'x');
    const double ofShort = bench::cost([&] { pair.write(shortData); }, 5000);
    const double ofLong = bench::cost([&] { pair.write(longData); }, 1000);
    const double perByte = (ofLong - ofShort) / (large - small);
    std::vector<std::unique_ptr<Pair>> pairs;
    for (int i = 0; i < 1000; ++i) {
        pairs.push_back(std::make_unique<Pair>(certificate, key));
    }
    std::size_t next = 0;
    const double ofMany =
        bench::cost([&] { pairs[next++ % pairs.size()]->write(shortData); }, 5000);
    std::cout << "\"tlsHotRecordUs\":" << ofShort - small * perByte
              << ",\"tlsRecordUs\":" << ofMany - small * perByte << ",\"tlsByteUs\":" << perByte
              << ",\"scalingOfTls\":" << scaling([&] {
                     return [pair = std::make_unique<Pair>(certificate, key), &longData] {
                         pair->write(longData);
                     };
                 })
              << ",";
}

#endif

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::cerr << "usage: bare_cost CERT KEY\n";
        return 2;
    }
    try {
        std::cout << '{';
#ifdef PUSHHUB_BENCH_TLS
        printTls(argv[1], argv[2]);
#endif
        std::cout << "\"scalingOfCopies\":" << scaling([] { return Copy(); }) << ",\"deflateUs\":{";
#ifdef PUSHHUB_BENCH_DEFLATE
        const auto compressing = [](std::size_t size) {
            return bench::deflateCost(bench::makePayload(size, true));
        };
        std::cout << "\"1000\":" << compressing(1000) << ",\"16384\":" << compressing(16 * 1024);
#endif
        std::cout << "}}" << std::endl;
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "bare_cost: " << error.what() << '\n';
        return 1;
    }
}

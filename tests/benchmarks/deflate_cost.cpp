// What compression costs: time per push beside bare zlib on the same bytes, and memory as malloc
// counts it. The figures of docs/compression.md.

#include <malloc.h>

#include <cstddef>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include <pushhub/deflate.hpp>
#include <pushhub/session.hpp>

#include "cost.hpp"

namespace {

using namespace pushhub;

std::string someText(std::size_t size) {
    std::string text;
    for (unsigned i = 0; text.size() < size; ++i) {
        text += "{\"symbol\":\"S" + std::to_string(i * 7919U % 1000U) +
                "\",\"price\":" + std::to_string(i * 31U % 10007U) + "}";
    }
    text.resize(size);
    return text;
}

std::size_t bytesInUse() {
    const auto info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
}

void printTime(std::size_t size) {
    const std::string text = someText(size);
    const double bare = bench::deflateCost(text);

    Options options;
    const auto push = [&] {
        detail::Outgoing outgoing;
        if (outgoing.encode(MessageType::text, text, PushOptions(), options)) {
            std::terminate();
        }
        outgoing.allForms(1U << 15);
    };
    const double plain = bench::cost(push, 300);
    options.compression = permessageDeflate();
    const double compressed = bench::cost(push, 300);
    std::cout << size << " bytes, " << options.compression->compress(text, 15).size()
              << " compressed: us per push " << plain << " plain, " << compressed << " compressed, "
              << bare << " bare zlib; "
              << "compressed : (plain + bare) " << compressed / (plain + bare) << '\n';
}

void printMemory(int windowBits, int memLevel) {
    DeflateOptions options;
    options.windowBits = windowBits;
    options.memLevel = memLevel;
    const std::string text = someText(100'000);
    const std::size_t before = bytesInUse();
    detail::Deflater deflater(options, static_cast<unsigned>(windowBits));
    deflater.compress(text);
    std::cout << "compressor, windowBits " << windowBits << ", memLevel " << memLevel << ": "
              << bytesInUse() - before << " bytes\n";
}

}  // namespace

int main() {
    for (const std::size_t size : {300, 1000, 4000, 16 * 1024}) {
        printTime(size);
    }
    printMemory(15, 8);
    printMemory(12, 8);
    printMemory(12, 1);

    const std::string text = someText(100'000);
    const std::string message = permessageDeflate()->compress(text, 15);
    std::string out;
    out.reserve(text.size());
    const std::size_t before = bytesInUse();
    const auto inflater = detail::Inflater::make();
    inflater->inflate(message, out, text.size());
    std::cout << "reader: " << bytesInUse() - before << " bytes\n";
}

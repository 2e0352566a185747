// Runs a fuzz target over files without libFuzzer: each file, and each beginning of it, since a
// peer can stop anywhere. Fails when there was nothing to run.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::uint8_t> readFile(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void run(const std::filesystem::path& path) {
    std::cout << path.string() << std::endl;  // the last line names the one that crashed
    const auto bytes = readFile(path);
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        // A copy of just this size, so that a sanitizer sees a read beyond it.
        const std::vector<std::uint8_t> part(bytes.data(), bytes.data() + size);
        LLVMFuzzerTestOneInput(part.data(), part.size());
    }
}

}  // namespace

int main(int argc, char* argv[]) {
    std::size_t count = 0;
    try {
        for (int i = 1; i < argc; ++i) {
            for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
                if (entry.is_regular_file()) {
                    run(entry.path());
                    ++count;
                }
            }
        }
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
    if (count == 0) {
        std::cerr << "usage: replay DIRECTORY...; there was no file to run\n";
        return 1;
    }
    std::cout << count << " files\n";
    return 0;
}

// A chart that is pushed 20 times a second: open http://127.0.0.1:8081/ in one tab or in ten. Each
// push contains the whole chart, and all pushes have the same key. So a tab that cannot keep up
// skips pushes, and the next one that it gets is the newest.

#include <pushhub/pushhub.hpp>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <thread>

#ifndef CHART_PAGE  // set by the build
#define CHART_PAGE "examples/browser/chart.html"
#endif

namespace {

// Simulates a service's measurements.
class Load {
public:
    explicit Load(std::size_t points) : values_(points, 50.0) {
        while (number_ < points) {
            measure();
        }
    }

    void measure() {
        const double next = values_.back() + step_(random_) + (50.0 - values_.back()) * 0.02;
        values_.push_back(std::fmin(std::fmax(next, 0.0), 100.0));
        values_.pop_front();
        ++number_;
    }

    std::string json() const {
        std::string text = "{\"number\":" + std::to_string(number_) + ",\"values\":[";
        for (const double value : values_) {
            text += std::to_string(std::lround(value * 10.0));
            text += ',';
        }
        text.back() = ']';
        return text + '}';
    }

private:
    std::deque<double> values_;  // in tenths of a percent, once they are in the message
    std::mt19937 random_{2024};
    std::normal_distribution<double> step_{0.0, 1.5};
    unsigned long number_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    std::ifstream file(CHART_PAGE, std::ios::binary);
    const std::string page(std::istreambuf_iterator<char>(file), {});

    pushhub::Options options;
    options.port = argc > 1 ? static_cast<std::uint16_t>(std::stoul(argv[1])) : 8081;
    options.path = "/chart/{userId}";
    pushhub::PushHub<> hub{options};
    hub.onHttp([&](const pushhub::HttpRequest& request) -> std::optional<pushhub::HttpResponse> {
        if (request.path() == "/") {
            return pushhub::HttpResponse{200, page, "text/html; charset=utf-8"};
        }
        if (request.path() == "/conflated") {
            return pushhub::HttpResponse{200, std::to_string(hub.stats().conflatedMessages)};
        }
        return std::nullopt;
    });
    hub.start();
    std::cout << "listening on ws://127.0.0.1:" << hub.port() << options.path << std::endl;

    Load load(argc > 2 ? std::stoul(argv[2]) : 6000);  // points: of five minutes
    pushhub::PushOptions newest;
    newest.key = "load";
    for (auto next = std::chrono::steady_clock::now();; std::this_thread::sleep_until(next)) {
        load.measure();
        hub.sendAll(load.json(), newest);
        next += std::chrono::milliseconds(50);
    }
}

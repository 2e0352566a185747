#pragma once

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace pushhub::detail {

/// A text in a braced list. Unlike `std::string_view` and `std::string` it cannot be made from two
/// iterators, so `{{"a", "b"}}` is an error and not the characters between two literals.
class ListedText {
public:
    template <class Text,
              std::enable_if_t<std::is_convertible_v<const Text&, std::string_view>, int> = 0>
    ListedText(const Text& text) : text_(text) {}

    operator std::string_view() const noexcept { return text_; }

private:
    std::string_view text_;
};

namespace ranges {

using std::begin;
using std::end;

template <class Range>
using Iterator = decltype(begin(std::declval<Range&>()));
template <class Range>
using Reference = decltype(*std::declval<Iterator<Range>&>());

template <class Range, class = void>
inline constexpr bool isRange = false;
template <class Range>
inline constexpr bool
    isRange<Range, std::void_t<Reference<Range>, decltype(end(std::declval<Range&>()))>> = true;

template <class Range, class = void>
inline constexpr bool hasSize = false;
template <class Range>
inline constexpr bool hasSize<Range, std::void_t<decltype(std::size(std::declval<Range&>()))>> =
    true;

template <class Iterator, class = void>
inline constexpr bool isForward = false;
template <class Iterator>
inline constexpr bool
    isForward<Iterator, std::void_t<typename std::iterator_traits<Iterator>::iterator_category>> =
        std::is_base_of_v<std::forward_iterator_tag,
                          typename std::iterator_traits<Iterator>::iterator_category>;

// Whether the elements are objects that outlive the iterator. Others have to be copied.
template <class Range>
inline constexpr bool elementsLast =
    std::is_lvalue_reference_v<Reference<Range>>&& isForward<std::decay_t<Iterator<Range>>>;

}  // namespace ranges

/// The texts of a range, for as long as the range lives: views where its elements live as long,
/// copies where they are made when the iterator is dereferenced.
class TextList {
public:
    TextList(std::initializer_list<ListedText> texts) : views_(texts.begin(), texts.end()) {}

    TextList(TextList&&) noexcept = default;
    TextList& operator=(TextList&&) = delete;

    template <class Range>
    static TextList of(Range& range) {
        using Plain = std::remove_cv_t<Range>;
        TextList list;
        if constexpr (std::is_convertible_v<Range&, std::string_view>) {
            static_assert(!std::is_same_v<Plain, Plain>,
                          "pushhub: sendMore takes a range of user ids, and this is one text: call "
                          "sendOne, or put it in braces");
        } else if constexpr (!ranges::isRange<Range>) {
            static_assert(!std::is_same_v<Plain, Plain>,
                          "pushhub: sendMore takes a range of user ids, and this is no range");
        } else {
            list.fill(range);
        }
        return list;
    }

    std::vector<std::string_view>& views() noexcept { return views_; }

private:
    TextList() = default;

    template <class Range>
    void fill(Range& range) {
        using Element = ranges::Reference<Range>;
        if constexpr (!std::is_convertible_v<Element, std::string_view> &&
                      !std::is_convertible_v<Element, std::string>) {
            static_assert(!std::is_same_v<Range, Range>,
                          "pushhub: sendMore takes a range of user ids, and the elements of this "
                          "one convert neither to std::string_view nor to std::string");
        } else if constexpr (ranges::elementsLast<Range> &&
                             std::is_convertible_v<Element, std::string_view>) {
            reserve(views_, range);
            for (auto&& element : range) {
                views_.push_back(element);
            }
        } else {
            reserve(copies_, range);
            for (auto&& element : range) {
                copies_.push_back(copy(std::forward<decltype(element)>(element)));
            }
            views_.assign(copies_.begin(), copies_.end());
        }
    }

    template <class Texts, class Range>
    static void reserve(Texts& texts, Range& range) {
        if constexpr (ranges::hasSize<Range>) {
            texts.reserve(static_cast<std::size_t>(std::size(range)));
        }
    }

    template <class Element>
    static std::string copy(Element&& element) {
        if constexpr (std::is_convertible_v<Element, std::string_view>) {
            const std::string_view text = std::forward<Element>(element);
            return std::string(text);
        } else {
            return std::forward<Element>(element);
        }
    }

    std::vector<std::string> copies_;
    std::vector<std::string_view> views_;
};

}  // namespace pushhub::detail

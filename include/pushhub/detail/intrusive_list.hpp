#pragma once

#include <cstddef>

namespace pushhub::detail {

/// Links of an object that stands in at most one `IntrusiveList` at a time.
template <class T>
struct ListLinks {
    T* previous = nullptr;
    T* next = nullptr;
};

/// Doubly linked list through the objects themselves: no allocation, removal in O(1).
/// `Links` names the member that holds the links. The list owns nothing.
template <class T, ListLinks<T> T::*Links>
class IntrusiveList {
public:
    T* front() const noexcept { return first_; }
    static T* next(const T& object) noexcept { return (object.*Links).next; }
    bool empty() const noexcept { return first_ == nullptr; }
    std::size_t size() const noexcept { return size_; }

    void pushBack(T& object) noexcept {
        ListLinks<T>& links = object.*Links;
        links.previous = last_;
        links.next = nullptr;
        (last_ ? (last_->*Links).next : first_) = &object;
        last_ = &object;
        ++size_;
    }

    void remove(T& object) noexcept {
        ListLinks<T>& links = object.*Links;
        (links.previous ? (links.previous->*Links).next : first_) = links.next;
        (links.next ? (links.next->*Links).previous : last_) = links.previous;
        links = {};
        --size_;
    }

private:
    T* first_ = nullptr;
    T* last_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace pushhub::detail

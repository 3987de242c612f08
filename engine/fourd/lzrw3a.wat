;; LZRW3-A as 4D uses it, the same as lzrw3a.py, for a WebAssembly engine (engine/fourd/compiled.py).
;;
;; memory: 0 the table, 4096 slots of 4 bytes; 16384 what all of them point to at first; 16448 the jobs;
;; from 65536 on, what the jobs name. A job is 4 numbers of 4 bytes: where it reads, how many bytes, where
;; it writes, how many bytes fit there. The last becomes how many were written, -1 for what is no such stream.
;; Where a job writes, 32 bytes more must be free.
(module
  (memory (export "memory") 40)
  (data (i32.const 16384) "123456789012345678")
  (global $cycle (mut i32) (i32.const 0))

  (func $reset (local $at i32)
    (global.set $cycle (i32.const 0))
    (loop $next
      (i32.store (local.get $at) (i32.const 16384))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 16384)))))

  ;; the place in the table of the partition for the three bytes here
  (func $partition (param $at i32) (result i32)
    (i32.shl
      (i32.and
        (i32.shr_u
          (i32.mul
            (i32.xor
              (i32.xor
                (i32.shl (i32.load8_u (local.get $at)) (i32.const 8))
                (i32.shl (i32.load8_u offset=1 (local.get $at)) (i32.const 4)))
              (i32.load8_u offset=2 (local.get $at)))
            (i32.const 40543))
          (i32.const 4))
        (i32.const 511))
      (i32.const 5)))

  (func $enter (param $partition i32) (param $at i32)
    (i32.store (i32.add (local.get $partition) (global.get $cycle)) (local.get $at))
    (global.set $cycle (i32.and (i32.add (global.get $cycle) (i32.const 4)) (i32.const 28))))

  ;; literals whose third byte was not known yet: one or two, right before `at`
  (func $enter_pending (param $count i32) (param $at i32)
    (if (i32.eqz (local.get $count)) (then (return)))
    (local.set $at (i32.sub (local.get $at) (local.get $count)))
    (call $enter (call $partition (local.get $at)) (local.get $at))
    (if (i32.eq (local.get $count) (i32.const 2))
      (then
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (call $enter (call $partition (local.get $at)) (local.get $at)))))

  ;; up to 18 bytes; what is written may begin inside what is read. Up to 18 bytes are written in any case
  (func $copy (param $from i32) (param $to i32) (param $count i32) (local $end i32)
    (if (i32.ge_u (i32.sub (local.get $to) (local.get $from)) (i32.const 8))
      (then
        (i64.store (local.get $to) (i64.load (local.get $from)))
        (if (i32.gt_u (local.get $count) (i32.const 8))
          (then
            (i64.store offset=8 (local.get $to) (i64.load offset=8 (local.get $from)))
            (i32.store16 offset=16 (local.get $to) (i32.load16_u offset=16 (local.get $from)))))
        (return)))
    (local.set $end (i32.add (local.get $to) (local.get $count)))
    (loop $next
      (i32.store8 (local.get $to) (i32.load8_u (local.get $from)))
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end)))))

  (func $decode (param $in i32) (param $count i32) (param $to i32) (param $room i32) (result i32)
    (local $end i32) (local $out i32) (local $full i32)
    (local $control i32) (local $pending i32) (local $word i32) (local $slot i32) (local $length i32)
    (if (i32.or (i32.lt_u (local.get $count) (i32.const 4)) (i32.ne (i32.load (local.get $in)) (i32.const 0)))
      (then (return (i32.const -1))))
    (call $reset)
    (local.set $end (i32.add (local.get $in) (local.get $count)))
    (local.set $in (i32.add (local.get $in) (i32.const 4)))
    (local.set $out (local.get $to))
    (local.set $full (i32.add (local.get $to) (local.get $room)))
    (local.set $control (i32.const 1))
    (block $done
      (loop $item
        (br_if $done (i32.eq (local.get $in) (local.get $end)))
        (if (i32.eq (local.get $control) (i32.const 1))
          (then
            (if (i32.lt_u (i32.sub (local.get $end) (local.get $in)) (i32.const 2))
              (then (return (i32.const -1))))
            (local.set $control (i32.or (i32.load16_u (local.get $in)) (i32.const 65536)))
            (local.set $in (i32.add (local.get $in) (i32.const 2)))
            (br $item)))
        (if (i32.and (local.get $control) (i32.const 1))
          (then
            (if (i32.lt_u (i32.sub (local.get $end) (local.get $in)) (i32.const 2))
              (then (return (i32.const -1))))
            (local.set $word (i32.load16_u (local.get $in)))
            (local.set $in (i32.add (local.get $in) (i32.const 2)))
            (local.set $length (i32.add (i32.and (local.get $word) (i32.const 15)) (i32.const 3)))
            (if (i32.gt_u (i32.add (local.get $out) (local.get $length)) (local.get $full))
              (then (return (i32.const -1))))
            ;; (a & F0h) << 4 | b, times the 4 bytes of a slot
            (local.set $slot
              (i32.or
                (i32.shl (i32.and (local.get $word) (i32.const 240)) (i32.const 6))
                (i32.shl (i32.shr_u (local.get $word) (i32.const 8)) (i32.const 2))))
            (call $copy (i32.load (local.get $slot)) (local.get $out) (local.get $length))
            (call $enter_pending (local.get $pending) (local.get $out))
            (local.set $pending (i32.const 0))
            (call $enter (i32.and (local.get $slot) (i32.const 16352)) (local.get $out))
            (local.set $out (i32.add (local.get $out) (local.get $length))))
          (else
            (if (i32.eq (local.get $out) (local.get $full)) (then (return (i32.const -1))))
            (i32.store8 (local.get $out) (i32.load8_u (local.get $in)))
            (local.set $in (i32.add (local.get $in) (i32.const 1)))
            (local.set $out (i32.add (local.get $out) (i32.const 1)))
            (if (i32.eq (local.get $pending) (i32.const 2))
              (then
                (local.set $slot (i32.sub (local.get $out) (i32.const 3)))
                (call $enter (call $partition (local.get $slot)) (local.get $slot)))
              (else (local.set $pending (i32.add (local.get $pending) (i32.const 1)))))))
        (local.set $control (i32.shr_u (local.get $control) (i32.const 1)))
        (br $item)))
    (i32.sub (local.get $out) (local.get $to)))

  ;; how many of 18 bytes agree
  (func $agreeing (param $one i32) (param $other i32) (result i32) (local $differ i64)
    (local.set $differ (i64.xor (i64.load (local.get $one)) (i64.load (local.get $other))))
    (if (i64.ne (local.get $differ) (i64.const 0))
      (then (return (i32.wrap_i64 (i64.shr_u (i64.ctz (local.get $differ)) (i64.const 3))))))
    (local.set $differ
      (i64.xor (i64.load offset=8 (local.get $one)) (i64.load offset=8 (local.get $other))))
    (if (i64.ne (local.get $differ) (i64.const 0))
      (then
        (return
          (i32.add (i32.const 8) (i32.wrap_i64 (i64.shr_u (i64.ctz (local.get $differ)) (i64.const 3)))))))
    (if (i32.ne (i32.load8_u offset=16 (local.get $one)) (i32.load8_u offset=16 (local.get $other)))
      (then (return (i32.const 16))))
    (i32.sub
      (i32.const 18)
      (i32.ne (i32.load8_u offset=17 (local.get $one)) (i32.load8_u offset=17 (local.get $other)))))

  ;; what is not smaller than `count` is given up, and `count` returned
  (func $encode (param $in i32) (param $count i32) (param $to i32) (result i32)
    (local $end i32) (local $out i32) (local $words i32) (local $control i32) (local $items i32)
    (local $pending i32) (local $partition i32) (local $slot i32) (local $stop i32)
    (local $length i32) (local $best i32) (local $best_slot i32)
    (call $reset)
    (local.set $end (i32.add (local.get $in) (local.get $count)))
    (i32.store (local.get $to) (i32.const 0))
    (local.set $words (i32.add (local.get $to) (i32.const 4)))
    (local.set $out (i32.add (local.get $to) (i32.const 6)))
    (block $done
      (loop $item
        (br_if $done (i32.eq (local.get $in) (local.get $end)))
        (if (i32.gt_u (i32.sub (local.get $out) (local.get $to)) (local.get $count))
          (then (return (local.get $count))))
        (local.set $best (i32.const 0))
        (if (i32.ge_u (i32.sub (local.get $end) (local.get $in)) (i32.const 18))
          (then
            (local.set $partition (call $partition (local.get $in)))
            (local.set $slot (local.get $partition))
            (local.set $stop (i32.add (local.get $slot) (i32.const 32)))
            (loop $candidate
              (local.set $length (call $agreeing (i32.load (local.get $slot)) (local.get $in)))
              (if (i32.gt_u (local.get $length) (local.get $best))
                (then
                  (local.set $best (local.get $length))
                  (local.set $best_slot (local.get $slot))))
              (local.set $slot (i32.add (local.get $slot) (i32.const 4)))
              (br_if $candidate (i32.lt_u (local.get $slot) (local.get $stop))))))
        (if (i32.ge_u (local.get $best) (i32.const 3))
          (then
            (i32.store8 (local.get $out)
              (i32.or
                (i32.and (i32.shr_u (local.get $best_slot) (i32.const 6)) (i32.const 240))
                (i32.sub (local.get $best) (i32.const 3))))
            (i32.store8 offset=1 (local.get $out) (i32.shr_u (local.get $best_slot) (i32.const 2)))
            (local.set $out (i32.add (local.get $out) (i32.const 2)))
            (local.set $control
              (i32.or (local.get $control) (i32.shl (i32.const 1) (local.get $items))))
            (call $enter_pending (local.get $pending) (local.get $in))
            (local.set $pending (i32.const 0))
            (call $enter (local.get $partition) (local.get $in))
            (local.set $in (i32.add (local.get $in) (local.get $best))))
          (else
            (i32.store8 (local.get $out) (i32.load8_u (local.get $in)))
            (local.set $in (i32.add (local.get $in) (i32.const 1)))
            (local.set $out (i32.add (local.get $out) (i32.const 1)))
            (if (i32.eq (local.get $pending) (i32.const 2))
              (then
                (local.set $slot (i32.sub (local.get $in) (i32.const 3)))
                (call $enter (call $partition (local.get $slot)) (local.get $slot)))
              (else (local.set $pending (i32.add (local.get $pending) (i32.const 1)))))))
        (local.set $items (i32.add (local.get $items) (i32.const 1)))
        (if (i32.eq (local.get $items) (i32.const 16))
          (then
            (i32.store16 (local.get $words) (local.get $control))
            (local.set $words (local.get $out))
            (local.set $out (i32.add (local.get $out) (i32.const 2)))
            (local.set $control (i32.const 0))
            (local.set $items (i32.const 0))))
        (br $item)))
    (if (i32.eqz (local.get $items))
      (then (local.set $out (i32.sub (local.get $out) (i32.const 2))))
      (else
        (i32.store16 (local.get $words)
          (i32.or (local.get $control) (i32.shl (i32.const 65535) (local.get $items))))))
    (local.set $length (i32.sub (local.get $out) (local.get $to)))
    (select (local.get $length) (local.get $count) (i32.lt_u (local.get $length) (local.get $count))))

  (func (export "decode") (param $jobs i32) (local $job i32)
    (local.set $job (i32.const 16448))
    (loop $next
      (if (i32.eqz (local.get $jobs)) (then (return)))
      (i32.store offset=12 (local.get $job)
        (call $decode
          (i32.load (local.get $job)) (i32.load offset=4 (local.get $job))
          (i32.load offset=8 (local.get $job)) (i32.load offset=12 (local.get $job))))
      (local.set $job (i32.add (local.get $job) (i32.const 16)))
      (local.set $jobs (i32.sub (local.get $jobs) (i32.const 1)))
      (br $next)))

  (func (export "encode") (param $jobs i32) (local $job i32)
    (local.set $job (i32.const 16448))
    (loop $next
      (if (i32.eqz (local.get $jobs)) (then (return)))
      (i32.store offset=12 (local.get $job)
        (call $encode
          (i32.load (local.get $job)) (i32.load offset=4 (local.get $job))
          (i32.load offset=8 (local.get $job))))
      (local.set $job (i32.add (local.get $job) (i32.const 16)))
      (local.set $jobs (i32.sub (local.get $jobs) (i32.const 1)))
      (br $next))))

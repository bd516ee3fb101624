// SPDX-License-Identifier: Apache-2.0
// A program that computes, allocates, waits for a lock, parks, waits and throws, in functions of those names.
import java.util.concurrent.locks.LockSupport;

public class Known {
	static final Object lock = new Object();
	static volatile long sink;
	static volatile Object keep;

	static void hotJava(long ms) {
		long until = System.nanoTime() + ms * 1000000L;
		long x = 1;
		while (System.nanoTime() < until)
			for (int i = 0; i < 100000; i++)
				x = x * 6364136223846793005L + 1442695040888963407L;
		sink = x;
	}
	static void allocates(int n) {
		for (int i = 0; i < n; i++)
			keep = new byte[2048];
		keep = new byte[4 << 20];
	}
	static void holds(long ms) {
		synchronized (lock) {
			hotJava(ms);
		}
	}
	static void parks() {
		LockSupport.parkNanos(lock, 30000000L);
	}
	static void waits() throws InterruptedException {
		synchronized (Known.class) {
			Known.class.wait(30);
		}
	}
	static void throwsOne() {
		try {
			throw new IllegalStateException("on purpose");
		} catch (IllegalStateException e) {
			sink++;
		}
	}
	public static void main(String[] args) throws Exception {
		long until = System.currentTimeMillis() + Long.parseLong(args[0]) * 1000;
		Runnable work = () -> {
			while (System.currentTimeMillis() < until) {
				hotJava(20);
				holds(25);
				allocates(2000);
				parks();
				try { waits(); } catch (InterruptedException e) { return; }
				throwsOne();
			}
		};
		Thread[] threads = new Thread[3];
		for (int i = 0; i < threads.length; i++)
			(threads[i] = new Thread(work, "worker-" + i)).start();
		for (Thread t : threads)
			t.join();
		System.gc();
	}
}

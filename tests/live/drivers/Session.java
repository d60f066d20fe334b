/* Session.java - one connection of PostgreSQL's JDBC driver, told what to do line by line on stdin. See ../kit/sessions.py. */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.Map;

public class Session {
	private static final Map<String, PreparedStatement> prepared = new HashMap<>();

	private static String act(Connection c, String line) throws SQLException {
		switch (line.split(" ", 2)[0]) {
		case "begin":
			c.setAutoCommit(false);
			return "";
		case "commit":
			c.commit();
			c.setAutoCommit(true);
			return "";
		case "rollback":
			c.rollback();
			c.setAutoCommit(true);
			return "";
		default:
			String sql = line.split(" ", 2)[1];
			if (!prepared.containsKey(sql))
				prepared.put(sql, c.prepareStatement(sql));
			if (!prepared.get(sql).execute())
				return "";
			try (ResultSet r = prepared.get(sql).getResultSet()) {
				return r.next() ? r.getString(1) : "";
			}
		}
	}

	public static void main(String[] a) throws Exception {
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
		String url = "jdbc:postgresql://" + a[0] + ":" + a[1] + "/" + a[4] + "?sslmode=disable&prepareThreshold=1";
		try (Connection c = DriverManager.getConnection(url, a[2], a[3])) {
			System.out.println("ok");
			for (String line; (line = in.readLine()) != null;) {
				try {
					System.out.println(("ok " + act(c, line)).trim());
				} catch (SQLException e) {
					System.out.println("no " + e.getSQLState());
				}
			}
		}
	}
}
